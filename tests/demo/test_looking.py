"""One picture in a visitor's hands, and how it is let go of."""

from vlm_aes import Assessor
from vlm_aes.demo.image_session import OpenSessions, add_critique, add_occlusion_map, open_session
from vlm_aes.demo.shared_model import SharedAssessor
from vlm_aes.images.samples import write_samples


def test_what_is_large_is_let_go_of_when_a_visitor_leaves(tmp_path):
    model = SharedAssessor(Assessor.from_pretrained())
    path = next(p for p in write_samples(tmp_path) if p.name == "coffee.png")
    session = open_session(model, str(path))
    whole = session.image.size
    visits = OpenSessions()
    visits.hold("one", session)
    visits.hold(None, session)
    visits.leave("other")
    visits.leave(None)
    assert session.image.size == whole
    add_occlusion_map(model, session)
    visits.leave("one")
    visits.leave("one")
    assert max(session.image.size) <= 480 < max(whole)
    assert session.heat is None
    # whoever comes back, or left too early, still gets the rest
    add_critique(model, session)
    assert session.assessment.critique
    assert session.explanation.claims
