"""Words that demo people and their todos are made of."""

from itertools import product

_FIRST = (
    "Ada Agnes Aisha Amina Anders Anna Arthur Bela Bruno Carlos Chiara Clara Daniel Diego Dorothy "
    "Edsger Elena Emma Erik Esther Farid Fatima Felix Fiona Grace Hana Hugo Ines Ingrid Ivan Jonas "
    "Julia Karim Katherine Kenji Lars Leila Lena Liam Lucia Maria Mateo Mei Mira Nadia Nikola Noah "
    "Olga Omar Otto Paula Priya Ravi Rosa Samuel Sofia Tomas Vera Yara Zoe"
)
_LAST = (
    "Abbott Acosta Ahmed Almeida Bauer Becker Bianchi Brown Castro Chen Clarke Cohen Costa "
    "Dijkstra Dubois Eriksen Evans Ferrari Fischer Garcia Hansen Hassan Hopper Horvat Ito Jansen "
    "Johnson Kaya Keller Khan Kovacs Lopez Lovelace Martin Mendes Meyer Moreau Murphy Nguyen Nowak "
    "Olsen Patel Petrov Popescu Ricci Rossi Sato Schmidt Silva Singh Smith Tanaka Torres Walsh "
    "Weber Wilson Wood Yilmaz Young Zhang"
)
FIRST_NAMES, LAST_NAMES = _FIRST.split(), _LAST.split()

#: Verbs, and the things that go with each of them.
_DEEDS = {
    "Buy, Order, Look for, Return": (
        "running shoes, a birthday present, a desk lamp, printer paper, coffee filters, "
        "a raincoat, new headphones, bed linen, a bike light, cat food, school books"
    ),
    "Call, Write to, Answer, Thank, Meet": (
        "the dentist, Grandma, the landlord, the bank, the new neighbors, the plumber, "
        "Uncle Karl, the tax office, the insurance, the school, the book club"
    ),
    "Tidy, Clean, Paint, Photograph, Measure": (
        "the kitchen, the balcony, the garage, the cellar, the hall, the study, the bathroom, "
        "the children's room, the garden shed"
    ),
    "Draft, Review, Finish, Print, Send, Translate": (
        "the quarterly report, the minutes, the invoice, the offer, the slides, the contract, "
        "the newsletter, the travel claim, the budget, the job advert"
    ),
    "Plan, Book, Cancel, Pay for, Move": (
        "the trip to Lisbon, the team lunch, the piano lesson, the eye test, the swimming course, "
        "the weekend in the mountains, the concert, the car service"
    ),
    "Repair, Replace, Oil, Check": (
        "the front door, the bicycle, the lawn mower, the kitchen drawer, the garden gate, "
        "the window in the attic, the sewing machine, the garden tap"
    ),
    "Read, Summarize, Lend Mira, Give back": (
        "the book on bees, the novel from the library, the guide to pruning, the essay on cities, "
        "the article about sleep, the history of tea"
    ),
    "Water, Repot, Feed, Move": (
        "the tomatoes, the ferns, the lemon tree, the orchids, the herbs, the rubber plant, "
        "the roses"
    ),
}

#: What follows; often nothing.
_MORE = (
    *("", "", "", ""),
    *(" again", " before Friday", " this week", " after work", " on Saturday", " with Ravi"),
    *(" before the holidays", " by the end of the month", " for the party"),
)

#: All titles of demo todos: some 4,000.
TITLES = [
    f"{verb} {thing}{more}"
    for verbs, things in _DEEDS.items()
    for verb, thing, more in product(verbs.split(", "), things.split(", "), _MORE)
]

DESCRIPTIONS = (
    "The papers are in the blue folder.",
    "Ask first whether it can wait until next month.",
    "Nothing fancy: half an hour should do.",
    "See the last message about it; the address has changed.",
    "Two of them, not three.\nAnd keep the receipt.",
    "Take the long route, the bridge is closed.",
    "Omar has the key.",
    "It was promised for the day before yesterday. Say sorry.",
    "Compare at least three prices first:\n- the shop at the corner\n- the market\n- online",
    "Only if the weather is fine.",
    "Needs a signature on page four.",
    "The number is on the fridge.",
)
