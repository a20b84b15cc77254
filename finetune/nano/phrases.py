"""The phrases that nano learns: a photographer's words for praise, fault and remedy.

``{a|b}`` is a choice, and choices nest. Clauses have a subject and a verb and begin in lower case;
remedies are imperatives. What is measurable is not said here but in :mod:`.measured`, where each
phrase is tied to the band that bears it out.
"""

from __future__ import annotations

ATTRIBUTE_CLAUSES: dict[str, tuple[str, str, str]] = {
    "composition": (
        "{the composition {holds together|is well ordered|leads the eye|feels settled|is balanced}"
        "|the framing {is clean|is deliberate|gives the subject room|is well judged|is tight"
        " where it should be}"
        "|the {elements|shapes|lines} {are well placed|are nicely balanced|are arranged with care"
        "|lead into the picture|answer each other}"
        "|{everything|each part} has its place in the frame}",
        "{the composition {wanders|feels unplanned|lacks a centre|is hard to read|is cluttered}"
        "|the framing {is casual|feels accidental|cuts without a reason|is loose|is careless}"
        "|the {elements|shapes} {compete|do not add up|crowd each other|are scattered}"
        "|{the frame|the space} is {filled|used} without a plan}",
        "{{step closer|move in|go nearer} and {leave out what does not help|give the eye one place"
        " to rest|fill the frame}"
        "|{wait for|look for|find} a {simpler|calmer|cleaner} {background|arrangement|angle}"
        "|{decide|settle} {first |}what the photo is about and {crop to it|frame that}"
        "|{try|test} a {lower|higher|closer} {viewpoint|angle}"
        "|{crop|cut} {away the edges|the empty parts|what distracts}}",
    ),
    "color": (
        "{the colours {work well together|sit well side by side|are well chosen|are in tune}"
        "|the palette {is pleasing|is harmonious|has character|is well matched}"
        "|the colour {is handled with taste|carries the picture}}",
        "{the colours {do little for the scene|feel drab|clash a little|are at odds|are uninviting}"
        "|the palette {is dull|has no direction|is unappealing|is muddled}"
        "|the colour {adds nothing|is lifeless}}",
        "{{try|wait for} {warmer|better|kinder} light{ for the colour|}"
        "|{a small shift of white balance|a gentler colour grade} would help"
        "|{look for|build on} one colour that {leads|stands out}"
        "|{work on|rethink} the {colour balance|colour grade}}",
    ),
    "light": (
        "{the light {shapes the subject|has direction|models the forms|gives it depth|is caught"
        " at the right moment}"
        "|the lighting {is attractive|is well used|adds atmosphere|flatters the subject}"
        "|light and shade {give it form|keep it alive}|the play of light is well seen}",
        "{the light {is flat|is harsh|does nothing for the subject|has no direction|is dull}"
        "|the lighting {is plain|is unkind|is uninteresting|gives no depth}}",
        "{{come back|return|try again} {early or late in the day|when the light is gentler"
        "|when the sun is low}"
        "|{turn|move} so that the light {falls from the side|reaches the subject}"
        "|{find|look for|wait for} {gentler light|some shade|light from a window|light with"
        " direction}}",
    ),
    "depth_of_field": (
        "{the {shallow focus|depth of field|calm background} {isolates the subject"
        "|separates subject and background|keeps attention where it belongs|gives it depth}"
        "|focus is used {well|with intent} to {set the subject apart|create depth}}",
        "{{subject and background|near and far} {run together|are not separated|fight for"
        " attention}"
        "|{the depth of field|focus} does not {help the subject|single anything out}}",
        "{{open the aperture|use a wider aperture|step back and zoom in|get closer with a wide"
        " aperture} to {calm the background|free the subject|set the subject apart}}",
    ),
    "content": (
        "{the subject {is engaging|holds attention|is worth a look|tells a story|is well chosen}"
        "|there is {something to discover|a clear moment|a story} here"
        "|{the moment|the scene} is {well caught|worth keeping|inviting}}",
        "{the subject {is ordinary|says little|does not hold attention|stays anonymous}"
        "|there is {little to look at|no clear moment|no story} here"
        "|{the moment|the scene} {says little|has been seen often|gives little}}",
        "{{wait for|look for} {a moment|a gesture|something to happen|a stronger moment}"
        "|{find|choose} a {stronger|clearer|more telling} subject"
        "|show {what made you stop|why it mattered|what is special here}}",
    ),
    "object_emphasis": (
        "{the main subject {stands out|is clear at once|dominates as it should|has weight}"
        "|{there is no doubt|it is plain} what the photo is about"
        "|a single subject clearly {leads|stands out}}",
        "{no single subject {stands out|takes the lead}"
        "|the eye finds {no main subject|nowhere to settle|no anchor}"
        "|{the subject|what matters} is {lost in the frame|too small to matter|hard to find}}",
        "{make one thing {larger|brighter|the clear subject}"
        "|give the main subject {more weight|more room|more contrast}"
        "|{isolate|single out} one {thing|subject}}",
    ),
    "quality": (
        "{the technical quality is {solid|high|convincing}|it is {cleanly|carefully} made"
        "|{technically it is|the craft is} {sound|clean}}",
        "{the technical quality is {weak|poor|below par}|it looks {careless|technically rough}"
        "|{technically it|the craft} {falls short|is weak}}",
        "{{hold the camera steadier|use cleaner settings|take more care with the settings}}",
    ),
}

ATTRIBUTE_REASONS: dict[str, str] = {
    "composition": "{so the eye finds its way|which makes it easy to read|so nothing distracts}",
    "color": "{so nothing clashes|which sets the mood|so the parts belong together}",
    "light": "{which gives the scene depth|so forms stand out|which makes it come alive}",
    "depth_of_field": "{so the eye knows where to stay|which keeps the rest quiet"
    "|so nothing behind it distracts}",
    "object_emphasis": "{so there is no searching|which makes it read at once"
    "|so the look knows where to go}",
    "quality": "{so nothing stands between viewer and scene|which lets the scene speak}",
}

MOOD_CLAUSES: dict[str, str] = {
    "amusement": "{it has {a sense of fun|a playful note|humour}|the mood is {playful|light}}",
    "awe": "{it has {grandeur|a sense of wonder}|the mood is {majestic|grand|awe-inspiring}}",
    "contentment": "{the mood is {calm|peaceful|gentle|content}|it {feels|is} {restful|serene}}",
    "disgust": "{the subject {puts people off|is unpleasant to look at}"
    "|the mood is {off-putting|unpleasant}}",
    "excitement": "{it has {energy|drive|life}|the mood is {lively|exciting}}",
    "fear": "{the mood is {uneasy|tense|menacing}|there is {tension|unease} in it}",
    "sadness": "{the mood is {melancholy|wistful|sombre}|there is {sadness|loneliness} in it}",
}

_PICTURE = "{photo|picture|shot|frame|image}"

OPENERS: dict[str, str] = {
    "excellent": f"{{A {{striking|beautiful|memorable|superb|splendid|rare}} {_PICTURE}"
    "|{Outstanding|Excellent|Accomplished} work"
    "|This one {stays with you|stops the eye|is a keeper}|{A|Truly a} {delight|pleasure} to see}",
    "good": f"{{A {{strong|pleasing|good|convincing|rewarding|well made}} {_PICTURE}"
    "|{Nicely|Well} {seen|caught|made}|This one {works|works well|earns a second look}"
    "|{Good|Solid|Confident} work}",
    "fair": f"{{A {{fair|decent|middling|reasonable|passable|respectable}} {_PICTURE}"
    "|{Fair|Decent|Sound} but {not more|unremarkable|ordinary}"
    "|This one {is halfway there|gets by|could be more|comes close|stops short|is nearly there}"
    "|{Good in parts|A mixed result|Neither strong nor weak|Half a success|Worth a second try"
    "|Some of it works|Nearly there}}",
    "poor": f"{{A {{weak|poor|disappointing|forgettable|thin|dull}} {_PICTURE}"
    "|{Weak work|Below average|Not a success}|This one {does not work|falls short|misses}"
    "|{Little to hold on to|It does not come off|Not there yet|A missed chance}}",
    "bad": f"{{A {{bad|failed|very weak|sorry}} {_PICTURE}|{{A failure|Very weak work|Badly made}}"
    "|This one {fails|does not succeed|is beyond saving}}",
}

FAULT_CLAUSES: dict[str, tuple[str, str]] = {
    "blur": (
        "{{everything is|the whole frame is|the picture is|it is} {blurred|out of focus|badly"
        " blurred|blurred all over}"
        "|{blur|missed focus} {ruins|spoils|robs it of|wipes out} {the detail|all detail|fine"
        " detail|every edge}}",
        "{check the focus before you press|use a faster shutter speed|hold the camera steady"
        "|focus again and take a second frame|{brace the camera|use a tripod} and focus again}",
    ),
    "underexposure": (
        "{it is {{badly |heavily |}underexposed|far too dark|much too dark}"
        "|{underexposure|darkness} {swallows|hides} {much of the detail|much of the scene}"
        "|{much|most} of it {sinks into|is lost in} darkness}",
        "{{give it|add} {more exposure|two stops or more}|open up the exposure"
        "|{lift|raise} the exposure{ by two stops|}|{let in more light|use a longer exposure}}",
    ),
    "overexposure": (
        "{it is {{badly |heavily |}overexposed|far too bright|much too bright}"
        "|the highlights are {blown|burnt out|washed out}"
        "|overexposure {washes out|burns away|bleaches} {the detail|the bright parts|the"
        " colour|half the picture}}",
        "{expose for the highlights|{give it|use} {less exposure|two stops less}"
        "|{cut|reduce|lower} the exposure|{close the aperture|use a shorter exposure}}",
    ),
    "noise": (
        "{{heavy|strong|coarse} noise {covers the frame|eats the detail|spoils every surface|lies"
        " over everything}"
        "|it is {very|badly|heavily} {noisy|grainy}"
        "|{noise|grain} {drowns the detail|covers every surface}}",
        "{lower the ISO|use a lower ISO{ and a tripod|}|find more light and lower the ISO"
        "|{denoise it|remove the noise} or shoot again at a lower ISO}",
    ),
    "tilt": (
        "{the {horizon|camera|whole frame} is {clearly |plainly |badly |}tilted"
        "|{the lines lean|everything leans} to one side|it {tilts|leans} for no reason"
        "|{a tilted camera|a clear tilt} {unsettles the picture|throws it off balance}}",
        "{level the {horizon|camera}|straighten it|rotate it back until it is level"
        "|{turn it upright|set the lines upright} and level it}",
    ),
    "compression": (
        "{{compression|JPEG} {blocks|artefacts} {break up|cover|ruin|eat} {the picture|the"
        " detail|the colours}"
        "|it is {over-compressed|compressed to pieces|compressed to blocks}}",
        "{save it at a higher quality|go back to the original file|export with less compression"
        "|{use|find} the original file and compress less}",
    ),
}
