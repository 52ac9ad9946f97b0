"""The words of the generated catalogue: categories, each of some themes, each of some nouns that belong together."""

from __future__ import annotations

THEMES: dict[str, dict[str, str]] = {
    "Cooking": {
        "bread": "oven flour crust yeast loaf dough rye bakery",
        "spices": "cumin saffron pepper curry market cardamom chili mortar",
        "garden table": "tomato basil squash lettuce harvest salad radish herb",
        "sweets": "caramel chocolate custard vanilla cake sugar pastry almond",
    },
    "Mystery": {
        "detectives": "clue inspector alibi motive witness ledger suspect verdict",
        "old houses": "manor attic portrait staircase candle butler heirloom cellar",
        "spies": "cipher agent courier border disguise dossier signal double",
        "vanishings": "footprint fog platform telegram stranger suitcase silence ferry",
    },
    "Space": {
        "planets": "crater orbit moon dust ring dune probe horizon",
        "starships": "engine hull captain airlock crew drift beacon cargo",
        "first contact": "message antenna visitor translation pattern listening echo arrival",
        "colonies": "dome settler greenhouse ice mine reactor outpost pioneer",
    },
    "Nature": {
        "forests": "oak moss owl bark fern mushroom clearing badger",
        "oceans": "whale reef tide coral kelp lagoon dolphin current",
        "mountains": "summit glacier goat ridge avalanche marmot pass snow",
        "birds": "heron migration nest feather swallow marsh falcon song",
    },
    "History": {
        "empires": "legion senate aqueduct emperor province mosaic column treaty",
        "voyages": "sail compass spice harbour mast chart navigator island",
        "workshops": "loom guild anvil printer glassblower apprentice kiln cloth",
        "revolutions": "barricade pamphlet square assembly cannon petition exile banner",
    },
    "Sport": {
        "running": "marathon stride trail pace stadium sprint relay finish",
        "cycling": "saddle peloton climb wheel velodrome gear descent tandem",
        "football": "goal keeper penalty pitch striker corner derby whistle",
        "climbing": "rope chalk boulder carabiner ledge belay overhang granite",
    },
    "Music": {
        "jazz": "trumpet saxophone swing club improvisation bass quartet blues",
        "classical": "orchestra violin sonata conductor cello opera overture piano",
        "folk": "fiddle ballad accordion village dance banjo refrain storyteller",
        "electronic": "synthesizer loop sampler bassline studio remix sequencer tempo",
    },
    "Romance": {
        "letters": "envelope postcard ink longing reply confession stamp handwriting",
        "summer": "beach sunset villa kiss lemonade terrace holiday sandals",
        "weddings": "bouquet bride vow waltz veil toast groom guests",
        "second chances": "reunion hometown forgiveness memory widow bookshop rain courage",
    },
    "Technology": {
        "robots": "servo sensor gripper android circuit factory joint automaton",
        "networks": "router packet cable protocol server firewall switch latency",
        "games": "controller level pixel arcade console quest avatar highscore",
        "makers": "solder printer gadget workshop drone battery prototype toolbox",
    },
    "Travel": {
        "trains": "sleeper station timetable conductor tunnel locomotive viaduct dining",
        "deserts": "oasis camel caravan dune mirage nomad canyon starlight",
        "cities": "tram boulevard rooftop cafe museum alley bridge metro",
        "islands": "volcano palm boat snorkel village cliff lighthouse bay",
    },
}
"""Category to theme to its nouns."""

ADJECTIVES = (
    "quiet",
    "golden",
    "hidden",
    "last",
    "bright",
    "broken",
    "distant",
    "gentle",
    "restless",
    "crooked",
    "secret",
    "wandering",
    "silver",
    "forgotten",
    "patient",
    "wild",
    "little",
    "endless",
    "curious",
    "midnight",
    "scarlet",
    "humble",
    "early",
    "northern",
    "lucky",
)

OPENINGS = (
    "A {adjective} tale of {a} and {b}.",
    "Where {a} meets {b}, nothing stays {adjective}.",
    "All about {a}, {b} and one {adjective} {c}.",
    "The {adjective} side of {theme}: {a}, {b}, {c}.",
)
MIDDLES = (
    "It follows the {a} through {theme} until the {b} turns up.",
    "Expect {a}, more {b} than you would think, and some {c}.",
    "For everyone who likes {theme}, with a {a} on every page.",
    "Between {a} and {b} there is always room for {c}.",
)
ENDINGS = (
    "Told with warmth.",
    "A favourite of many.",
    "Best enjoyed slowly.",
    "Short, and to the point.",
    "You will want to begin again.",
)
