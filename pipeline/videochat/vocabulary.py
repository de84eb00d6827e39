"""The English words that a question is read by. Sets hold stems unless they say "as written"."""

from videochat.words import stem


def _stems(words: str) -> frozenset[str]:
    return frozenset(map(stem, words.split()))


def _written(words: str) -> frozenset[str]:
    return frozenset(words.split())


COLOURS = {  # stem: name
    stem(name): name
    for name in _written(
        "black white grey red orange yellow green blue purple pink brown cyan magenta violet turquoise beige"
    )
}
DIRECTIONS = {  # as written
    **{side + ending: side for side in ("left", "right", "up", "down") for ending in ("", "ward", "wards")},
    **dict.fromkeys(("rise", "rises", "rising", "upwardly"), "up"),
    **dict.fromkeys(("fall", "falls", "falling", "fell", "sinks", "sinking"), "down"),
    **dict.fromkeys(("stationary", "static", "motionless"), "still"),
}
TOWARDS = frozenset({"direction", "directions", "toward", "towards", "heading", "headed"})  # as written
AT_REST = frozenset(  # as written: "still" before these, or after those, means not moving
    {"in", "at", "after", "before", "during", "between", "from", "until", "while", "for", "or"}
)
STANDS = frozenset({"stand", "stands", "standing", "stay", "stays", "stood", "hold", "holds", "held"})
WAYS = frozenset(DIRECTIONS.values())
NO_WAY = frozenset(
    {"from", "show", "shows", "come", "comes", "pops", "right"}
)  # as written: "left" after them is no way
SIDES_OF = _written("left right top bottom")  # as written: a place by itself or with one of the next
PLACE_WORDS = _written("corner side half edge top bottom upper lower hand")
PLACES = frozenset(side + " side" for side in SIDES_OF)  # the words that stand for a place in a question
SCREEN = _written("screen frame picture image video view")
LENGTHS = _written("sentence sentences word words line lines paragraph paragraphs")  # "in one sentence"
CAMERA_MOVES = _stems("pan tilt zoom shake shaky")
SHAPES = _stems(  # they tell a thing's form, which no record may know
    "ball square circle box disc disk dot blob triangle rectangle block shape bar cube sphere star ring"
)
TOPICS = {
    "text": _stems(
        "text write word letter lettering sign title subtitle label banner poster headline inscription spell "
        "print digit number phrase ocr read"
    ),
    "speech": _stems("speak hear talk voice utter conversation dialogue narrator narrate narration speaker transcript"),
    "movement": _stems(
        "move movement motion travel slide roll drift fly float bounce go rise fall sinks sinking stationary "
        "static motionless"
    ),
    "speed": _stems("fast fastest faster slow slowest slower slowly speed quick quickly quickest quicker"),
    "thing": _stems("thing object item element") | SHAPES,
    "camera": _stems("camera handheld viewpoint") | CAMERA_MOVES,
    "colour": _stems("colour colourful hue tint background backdrop"),
    "light": _stems("dark bright brightness lit dim darkness sharp sharpness blurry blur lighting luminous"),
}
KINDS = {  # the kinds of record that tell of a topic
    "text": ("text",),
    "speech": ("speech",),
    "saying": ("speech", "text"),  # "what does it say": spoken or written
    "direction": ("region", "motion"),
    "movement": ("region", "motion"),
    "speed": ("region",),
    "thing": ("region", "tag"),
    "camera": ("motion",),
    "colour": ("look", "region"),
    "light": ("look",),
    "scene": ("caption", "action", "summary", "tag"),  # "who", "where"
}
SPEAKERS = _stems("he she man woman person someone anyone anybody somebody everyone who boy girl child speaker")
STOP = _stems(
    "a an the this that these those it its he she they him her them his their i you we me us my your our one who "
    "whom whose what which when where why how is are was were be been being am do does did done doing have has "
    "had can could will would shall should may might must isn aren doesn don didn s t re ve ll d m of in on at to "
    "from by with without for about into onto over under through as than then there here and or but if so not no "
    "yes any anything some something someone somebody anyone anybody everything every all each both either "
    "neither also just only very too much many more most please tell say show see look know give find list name "
    "explain appear visible display happen occur come begin start get let now ok okay way direction toward "
    "towards video clip movie film scene picture image frame screen time times moment present exist use take "
    "place kind type sort exactly during while until since once first second third fourth fifth last final next "
    "after before afterwards later earlier earliest latest order long part whole entire overall mainly mostly "
    "main around describe description summary summarize summarise overview count often duration length still up "
    "down left right side keep stay remain hold content contain thing object item element same other another "
    "together own per else happening sentence"
)
WH = _written("what which who whom whose how where why when")  # as written, as are all below
AUX = _written("is are was were am do does did can could has have had will would should may might")
LEADS = _written("and so ok okay well please hey hi hello now but then also or")
FOLLOW = (("and",), ("what", "about"), ("how", "about"), ("then",), ("but",), ("or",))
DESCRIBE = _written("describe summarize summarise summary overview description")
REQUESTS = _written("describe tell say list show summarize summarise give name count explain find please")
ASK_AFTER = _written("know tell me say see and or describe us guess")  # a question word after them asks
SIDES = {
    **dict.fromkeys(("after", "once", "since"), "after"),
    **dict.fromkeys(("before", "until", "till"), "before"),
    **dict.fromkeys(("while", "whilst", "when", "during"), "during"),
}
THEN = frozenset({"next", "then", "afterwards", "afterward", "later"})
ORDER = {
    **dict.fromkeys(("first", "1st", "earliest", "initial"), ("first", 1)),
    **dict.fromkeys(("last", "final", "latest"), ("last", 1)),
    **{word: ("first", i) for i, word in enumerate(("second", "third", "fourth", "fifth"), 2)},
    **dict.fromkeys(("fastest", "quickest"), ("fastest", 1)),
    **dict.fromkeys(("slowest",), ("slowest", 1)),
}
