"""The words of the default suite; no phrase of one set is in another."""

from __future__ import annotations

WORDS = ("Autumn sale", "Copyright 2024", "Do not copy", "Breaking news", "Page 17", "From $ 9.99", "Lorem ipsum", "SOLD OUT")

WORDS_LATER = ("Winter menu", "All rights reserved", "Sample only", "Weather today", "Chapter 3", "Each 4,5", "Sit amet", "NEW")

WORDS_PROMISE = (
    "Spring fair",
    "Registered 1998",
    "Preview copy",
    "Sports tonight",
    "Volume 6",
    "Only 12.50",
    "Dolor magna",
    "FREE",
)

SHORT = {"tune": WORDS, "report": WORDS_LATER, "promise": WORDS_PROMISE}
"""Set to eight phrases of one to three words."""

SENTENCES = {
    "tune": (
        "Where did you leave the key?",
        "The last train has gone.",
        "Nobody told me about it!",
        "Fresh bread every morning",
        "We meet at the old harbour",
        "Keep off the grass, please",
        "Turn left behind the church",
        "It never rains in here",
    ),
    "report": (
        "I can hear somebody coming",
        "This is not my suitcase!",
        "Open daily from nine to six",
        "What happened last night?",
        "Hand made in small numbers",
        "Take the stairs, not the lift",
        "Our garden needs more water",
        "Wait until the lights go out",
    ),
    "promise": (
        "You promised to call me",
        "Look at the size of that fish!",
        "Closed for a private party",
        "Is anybody still awake?",
        "Grown on the sunny side",
        "Mind the gap at the platform",
        "She painted all of them herself",
        "Return it before Friday",
    ),
}
"""Set to eight sentences."""

PUNCTUATED = {
    "tune": (
        "Jean-Luc: «Ça va?»",
        "3,50 € - 12:45",
        "\u00a9 2019 M\u00fcller & S\u00f6hne",
        "\u201cQuoted...\u201d",
        "A/B: 50 % off!",
        "No. 7; p. 12",
        "it's 10-12 o'clock",
        "i, j, l. | Ünïcödé",
    ),
    "report": (
        "Tél.: 01-22-33",
        "\u00a9 K. Øre, 2021",
        "\u2018Why?\u2019 - \u2018Because.\u2019",
        "Ä, ö & ñ; ...",
        "#42: done!",
        "7:30 - 8:15 h",
        "(see p. 3-9)",
        "1.250,00 $",
    ),
    "promise": (
        "São Paulo - \u00a9 1987",
        "\u201cNo.\u201d - \u201cYes...!\u201d",
        "Größe: 3,5 - 4",
        "10:59:02 | 99 %",
        "e.g., i.e., etc.",
        "Façade; naïve: élan",
        "[a] - (b) ...",
        "$ 0.99 / pcs.",
    ),
}
"""Set to eight lines with small marks: dashes, dots, quotes, accents, signs and digits."""

VERTICAL = {
    "tune": ("本日開店", "冬の音楽", "静かな海", "特別公演", "新鮮野菜", "春の祭り", "東京物語", "営業時間"),
    "report": ("お知らせ", "夏休み展", "山の上で", "手打蕎麦", "図書館前", "中国茶館", "限定販売", "美術学校"),
    "promise": ("入口は左", "秋の夜長", "温泉旅館", "古本市場", "花火大会", "京都案内", "大人気作", "写真撮影"),
}
"""Set to eight vertical lines of Chinese and Japanese."""

SOUNDS = {
    "tune": ("BOOM!", "CRASH", "POW!", "ZAP", "WHAM!", "SPLASH", "BANG!", "THUD"),
    "report": ("KAPOW!", "SLAM", "CRACK!", "WHOOSH", "SNAP!", "RUMBLE", "CLICK", "BZZZT"),
    "promise": ("KABOOM!", "SMASH", "THWACK", "VROOM!", "GULP", "SCREECH", "POP!", "CLANG"),
}
"""Set to eight sound words of comics."""

LABELS = {
    "tune": (
        "Name",
        "Street",
        "Total",
        "Amount",
        "Monday",
        "Order no.",
        "Delivery",
        "Open",
        "Settings",
        "Reports",
        "Save",
        "Edit profile",
    ),
    "report": (
        "Product",
        "City",
        "Balance",
        "Weight",
        "Friday",
        "Invoice",
        "Address",
        "Closed",
        "Account",
        "Messages",
        "Cancel",
        "Learn more",
    ),
    "promise": (
        "Species",
        "Country",
        "Result",
        "Height",
        "Sunday",
        "Ticket",
        "Contact",
        "Pending",
        "Library",
        "Downloads",
        "Submit",
        "Show details",
    ),
}
"""Set to the words of tables, forms and windows."""
