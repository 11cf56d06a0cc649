"""Names for synthetic people, as varied as those of a real district: many scripts, accents, very long, single."""

from __future__ import annotations

from random import Random

GIVEN = (
    "Aaliyah", "Amélie", "Andrés", "Anaïs", "Beatriz", "Bjørn", "Chidi", "Chloë", "D'Andre", "Dewi", "Eleni", "Émile",
    "Fatima", "Giulia", "Håkon", "Imani", "Jean-Luc", "José", "Keisha", "Lucía", "Łukasz", "María José", "Mei", "Noah",
    "Ngozi", "Olivia", "Örjan", "Priya", "Quetzalli", "René", "Saoirse", "Søren", "Thomas", "Tân", "Uwe", "Vũ",
    "Wanjiru", "Xiomara", "Yusuf", "Zoë", "Mary", "James", "Linda", "Robert", "Emma", "Liam", "Sophia", "Ethan",
    "Ava", "Mason",
)  # fmt: skip
FAMILY = (
    "Adeyemi", "Begay", "Björklund", "Castañeda", "Çelik", "D'Angelo", "Dvořák", "Echeverría", "Fernández-Núñez",
    "García", "Gutiérrez de la Cruz", "Hernández", "Ibrahim", "Jansen", "Kowalczyk", "Lê", "Mac an tSaoir", "Müller",
    "Nakamura", "Nguyễn", "O'Brien", "O'Connor-Smith", "Østergård", "Patel", "Phạm", "Quispe", "Ramírez",
    "Saint-Exupéry", "Şahin", "Smith", "Johnson", "Williams", "Brown", "Jones", "Davis", "Trần", "Ünal", "van der Berg",
    "Washington", "Xiong", "Y\u0131ld\u0131z", "Zhang", "Zoltán", "Anderson", "Taylor", "Moore", "Jackson", "Martin",
    "Lee", "White",
)  # fmt: skip
WHOLE = (
    ("محمد", "الأحمد"),
    ("فاطمة", "عبد الرحمن"),
    ("小明", "王"),
    ("美玲", "陈"),
    ("さくら", "田中"),
    ("민준", "김"),
    ("נועה", "כהן"),
    ("דוד", "לוי"),
    ("Олена", "Шевченко"),
    ("Ελένη", "Παπαδοπούλου"),
    ("प्रिया", "शर्मा"),
    ("ኣበበ", "ተስፋዬ"),
    ("Nguyễn Thị Minh", "Khai"),
    ("Sukarno", ""),
    ("", "Madhubala"),
    ("Wolfeschlegelsteinhausenbergerdorff-Maximiliana-Alexandra-Theodora-Philippine", "Featherstonehaugh-Cholmondeley"),
    ("X Æ", "A-12"),
    ('Mary "May"', "St. John, Jr."),
)
PREFERRED = ("Alex", "Bo", "Charlie", "Jo", "Kai", "Max", "Mo", "Nico", "Robin", "Sam", "Tao", "Zé")


def name(random: Random) -> tuple[str, str]:
    """A given and a family name; one in fifty is of another script or shape, and either part may be empty."""
    if random.random() < 0.02:  # noqa: PLR2004 - one in fifty
        return random.choice(WHOLE)
    return random.choice(GIVEN), random.choice(FAMILY)
