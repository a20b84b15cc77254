"""One picture in a visitor's hands, and how it is let go of."""

from vlm_aes import Assessor
from vlm_aes.demo.looking import Visits, find_heat, look, write_critique
from vlm_aes.demo.model import SharedAssessor
from vlm_aes.images.samples import write_samples


def test_what_is_large_is_let_go_of_when_a_visitor_leaves(tmp_path):
    model = SharedAssessor(Assessor.from_pretrained())
    path = next(p for p in write_samples(tmp_path) if p.name == "coffee.png")
    looked = look(model, str(path))
    whole = looked.image.size
    visits = Visits()
    visits.hold("one", looked)
    visits.hold(None, looked)
    visits.leave("other")
    visits.leave(None)
    assert looked.image.size == whole
    find_heat(model, looked)
    visits.leave("one")
    visits.leave("one")
    assert max(looked.image.size) <= 480 < max(whole)
    assert looked.heat is None
    # whoever comes back, or left too early, still gets the rest
    write_critique(model, looked)
    assert looked.assessment.critique
    assert looked.explanation.claims
