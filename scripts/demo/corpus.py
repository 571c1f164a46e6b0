#!/usr/bin/env python3
"""Writes the text that the demo model is trained on, and the vocabulary that it is read with.

    python3 scripts/demo/corpus.py

makes runs/demo-corpus/text.txt and runs/demo-corpus/tokenizer.json, the same bytes every time: the only source of
chance is the generator below, and nothing is read but configs/data/pride_and_prejudice.txt.

The text is a shuffle of four kinds of passage.
- Repeats: something random, written several times. Nothing predicts the second copy but the first, which is what an
  induction head looks up.
- Stories from templates, whose people and places have invented names that occur in one story only: after its first
  few letters a name can only be completed by looking where it stood before.
- Lists of who has what, and questions about them.
- Paragraphs of Pride and Prejudice, for English that no template made. Their last tenth stands in the last tenth of the
  text alone, which the task holds out.

The vocabulary is byte-pair encoding (Sennrich et al. 2016) of the last three: newline, printable ASCII and the
commonest pieces of words, so that a repeated token is as telling as in a large model and any prompt can be read.
"""
import argparse
import json
import re
from collections import Counter
from pathlib import Path

# Tokens without `<bos>`, which the task adds as the next id.
TOKENS = 511
CHARACTERS = "\n" + "".join(map(chr, range(32, 127)))
# What a reader's prompt may hold besides, and what it is read as.
FOLDED = {
    "\r\n": "\n", "\r": "\n", "\t": " ", "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"',
    "\u2013": "-", "\u2014": "-", "\u2026": "...",
}
# Where pieces end: merges stay within a word, which takes the space before it along. Anything else stands alone.
WORDS = r" ?[A-Za-z]+|[\s\S]"


class Chance:
    """SplitMix64 (Steele et al. 2014): the same numbers in every version of Python."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state = (self.state + 0x9E3779B97F4A7C15) % 2**64
        z = self.state
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        return (z ^ z >> 31) % n  # n is far below 2^64: the bias is nothing

    def pick(self, items):
        return items[self.below(len(items))]

    def between(self, low, high):
        return low + self.below(high - low + 1)

    def several(self, items, n):
        """n different ones."""
        items = list(items)
        return [items.pop(self.below(len(items))) for _ in range(n)]

    def shuffled(self, items):
        return self.several(items, len(items))


ONSETS = "b br c ch d dr f fl g gr h j k kl l m n p pr qu r s sh st t th tr v w y z".split()
VOWELS = "a e i o u a e i o ai ea oo ie".split()
CODAS = ["", "", "", "l", "n", "r", "s", "m", "th", "ck", "x", "nd", "rt"]
ANIMALS = "cat dog fox owl hen goat mouse horse crow frog bear duck hare otter".split()
PEOPLE = "baker miller sailor tailor teacher doctor farmer smith painter weaver widow boy girl judge".split()
THINGS = ("apple bell book bottle box bread button candle chair coat coin cup drum feather flute hat jar key kite knife "
          "lamp letter map mirror needle pipe plum ribbon ring rope shell shoe spoon stone sword ticket "
          "violin watch wheel").split()
COLOURS = "black blue brown gold green grey red silver white yellow".split()
ADJECTIVES = "old small big broken clean cheap heavy little lost new pretty rare strange warm".split()
MOODS = "glad sad angry tired happy afraid proud hungry curious quiet".split()
PLACES = "hill river mill church market garden kitchen bridge school harbour forest well barn road".split()
TIMES = ["One morning", "One evening", "The next day", "That night", "After supper", "In the spring",
         "On Sunday", "Before long", "In winter", "Later", "At noon", "When the rain stopped", "Soon after"]
VERBS = "found took sold wanted kept hid dropped carried bought lost saw washed cleaned borrowed".split()
NUMBERS = "two three four five six seven eight nine ten twelve twenty".split()


def name(chance, syllables=None):
    parts = [chance.pick(ONSETS) + chance.pick(VOWELS) for _ in range(syllables or chance.between(2, 3))]
    return ("".join(parts) + chance.pick(CODAS)).capitalize()


OPENINGS = [
    "There was once a {person} called {A}, who lived near {T} with a {animal}.",
    "{A} was a {adjective} {person} from {T}, and {B} was a {animal}.",
    "In {T} there lived a {person} whose name was {A}, and a {person} whose name was {B}.",
    "{A} and {B} lived in a {adjective} house by the {place} in {T}.",
    "Once upon a time {A} came to {T} with nothing but a {colour} {thing}.",
    "Nobody in {T} knew {A}, but everybody knew {B}.",
    "My name is {A}, and I was born in {T}, where my friend {B} was the {person}.",
    "A long time ago, when {T} was only a {place}, {A} had {number} {thing}s.",
]
EVENTS = [
    "{time} {A} {verb} a {adjective} {thing} near the {place}.",
    "{time} {B} {verb} the {colour} {thing}, and {A} was {mood}.",
    "{A} gave the {thing} to {B}, and {B} was very {mood}.",
    "{B} said to {A} that the {thing} was {adjective}.",
    "They went to the {place} together, {A} with a {thing} and {B} with a {thing}.",
    "\"Where is my {thing}?\" said {A}.",
    "\"I have not seen it,\" said {B}, \"but there is a {colour} one at the {place}.\"",
    "\"Dear {A},\" said {B}, \"what is a {person} to do with {number} {thing}s?\"",
    "\"It is not mine,\" said {B}. \"It belongs to {A}.\"",
    "{A} asked {B}, and {B} asked the {person}, but nobody had seen the {thing}.",
    "The {animal} ran down to the {place} and came back with a {thing}.",
    "{time} a {person} came from {T} and wanted to buy the {thing} for {number} coins.",
    "So {A} walked from the {place} to the {place}, and was {mood} all the way to {T}.",
    "But {B} had put it in the {place}, under a {adjective} {thing}.",
    "\"{A}! {A}!\" cried {B}. \"Come and look at the {animal}!\"",
    "\"Is that you, {B}?\" said {A}.",
    "It was a {colour} {thing}, as {adjective} as the {thing} of {A}.",
    "Everyone in {T} heard of it, and the {person} laughed at {A}.",
    "{A} and the {animal} looked for {B} at the {place}, and then in {T}.",
    "If {A} had known what {B} knew, the {thing} would still be at the {place}.",
    "{time} it was cold in {T}, and {A} made a fire for {B}.",
    "The {person} of {T} said, \"{B} has the {thing}, and {A} has the {thing}.\"",
    "{B} was {mood}, because the {animal} had been at the {place} with {A}.",
    "There were {number} {thing}s on the table, and one of them was {colour}.",
]
ENDINGS = [
    "And {A} and {B} lived in {T} for {number} years more.",
    "That is the story of {A} and the {colour} {thing}.",
    "\"Good night, {A},\" said {B}. \"Good night, {B},\" said {A}.",
    "Since then nobody in {T} has seen {A} without the {animal}.",
    "So {B} kept the {thing}, and {A} was {mood} again.",
    "The {animal} is still in {T}, and so is {A}.",
]


def filled(chance, template, story):
    """A template with its slots filled: from what the story has, else from the lists above."""
    lists = dict(adjective=ADJECTIVES, colour=COLOURS, mood=MOODS, number=NUMBERS, time=TIMES, verb=VERBS)
    out, rest = "", template
    while "{" in rest:
        before, rest = rest.split("{", 1)
        slot, rest = rest.split("}", 1)
        out += before + chance.pick(story.get(slot) or lists[slot])
    return out + rest


def story(chance):
    A, B = name(chance), name(chance)
    told = dict(A=[A], B=[B], T=[name(chance)], animal=[chance.pick(ANIMALS)], thing=chance.several(THINGS, 2),
                person=chance.several(PEOPLE, 2), place=chance.several(PLACES, 2))
    lines = [filled(chance, chance.pick(OPENINGS), told)]
    for _ in range(chance.between(3, 9)):
        if chance.below(4) == 0:
            told["A"], told["B"] = told["B"], told["A"]
        lines.append(filled(chance, chance.pick(EVENTS), told))
    lines.append(filled(chance, chance.pick(ENDINGS), told))
    return " ".join(lines)


def facts(chance):
    n = chance.between(3, 6)
    people = [name(chance) for _ in range(n)]
    things = [f"{colour} {thing}" for colour, thing in zip(chance.several(COLOURS, n), chance.several(THINGS, n))]
    pairs = list(zip(people, things))
    lines = [f"{person} has a {thing}." for person, thing in pairs]
    for _ in range(chance.between(3, 8)):
        person, thing = chance.pick(pairs)
        lines.append(chance.pick([
            f"Who has the {thing}? {person} has the {thing}.",
            f"What has {person}? {person} has a {thing}.",
            f"{person} still has the {thing}.",
        ]))
    return " ".join(lines)


def repeats(chance, pieces, paragraphs):
    """Something random, written again and again until there are about 200 tokens.

    In some no token comes back before the string does: the one before tells what follows. In others tokens do, of small
    alphabets often, so that only several in a row tell it, and a match of one is best ignored.
    """
    kind = chance.below(8)
    if kind < 3:
        string = chance.several(pieces, chance.between(4, 60))
    elif kind < 7:
        n = chance.between(8, chance.pick([32, 64, 90]))
        alphabet = [pieces, CHARACTERS, chance.several(pieces, chance.between(5, 30))][max(0, kind - 4)]
        string = [chance.pick(alphabet) for _ in range(n)]
    else:
        string = [" " + chance.pick(chance.pick(paragraphs).split(" ")) for _ in range(chance.between(4, 40))]
    return "".join(string) * max(2, -(-200 // len(string)))


def novel(path):
    """Paragraphs of the novel, each on one line."""
    paragraphs = [" ".join(paragraph.split()) for paragraph in path.read_text("ascii").split("\n\n")]
    return [paragraph for paragraph in paragraphs if paragraph]


def passages(chance, pieces, paragraphs, size, shares):
    """About `size` characters of passages; each kind has its share of them."""
    makers = dict(repeats=lambda chance: repeats(chance, pieces, paragraphs), story=story, facts=facts)
    out = []
    for kind, share in shares.items():
        due, pool = share * size // 100, []
        while due > 0:
            if kind == "novel":
                pool = pool or chance.shuffled(paragraphs)
                passage = pool.pop()
            else:
                passage = makers[kind](chance)
            out.append(passage)
            due -= len(passage) + 1
    return "\n".join(chance.shuffled(out)) + "\n"


def learn(text):
    """The merges of byte-pair encoding: the commonest pair of neighbours, again and again, ties by the alphabet."""
    counts = Counter(re.findall(WORDS, text))
    words = [[list(word), n] for word, n in sorted(counts.items()) if n > 2 and len(word) > 1]
    merges = []
    while len(CHARACTERS) + len(merges) < TOKENS:
        pairs = Counter()
        for pieces, n in words:
            for pair in zip(pieces, pieces[1:]):
                pairs[pair] += n
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        for word in words:
            word[0] = merged(word[0], best)
    return merges


def merged(pieces, pair):
    """`pieces` with each occurrence of `pair` made one."""
    out = []
    for piece in pieces:
        if out and (out[-1], piece) == pair:
            out[-1] += piece
        else:
            out.append(piece)
    return out


def tokenizer(merges, bos):
    """A Hugging Face tokenizer.json; with `bos`, one that begins every text with it."""
    vocabulary = {piece: i for i, piece in enumerate([*CHARACTERS, *map("".join, merges)])}
    added, template = [], None
    if bos:
        id_ = len(vocabulary)
        vocabulary["<bos>"] = id_
        plain = dict(single_word=False, lstrip=False, rstrip=False, normalized=False)
        added = [dict(id=id_, content="<bos>", **plain, special=True)]
        begin = dict(SpecialToken=dict(id="<bos>", type_id=0))
        one = lambda which, type_id: dict(Sequence=dict(id=which, type_id=type_id))
        template = dict(
            type="TemplateProcessing", single=[begin, one("A", 0)], pair=[begin, one("A", 0), one("B", 0)],
            special_tokens={"<bos>": dict(id="<bos>", ids=[id_], tokens=["<bos>"])})
    fold = [dict(type="Replace", pattern=dict(String=old), content=new) for old, new in FOLDED.items()]
    normalizer = dict(type="Sequence", normalizers=fold + [dict(type="NFKD"), dict(type="StripAccents")])
    model = dict(
        type="BPE", dropout=None, unk_token="?", continuing_subword_prefix=None, end_of_word_suffix=None,
        fuse_unk=False, byte_fallback=False, ignore_merges=False, vocab=vocabulary, merges=list(map(list, merges)))
    return dict(
        version="1.0", truncation=None, padding=None, added_tokens=added, normalizer=normalizer,
        pre_tokenizer=dict(type="Split", pattern=dict(Regex=WORDS), behavior="Isolated", invert=False),
        post_processor=template, decoder=dict(type="Fuse"), model=model)


def main():
    root = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=root / "runs/demo-corpus", metavar="DIR")
    parser.add_argument("--size", type=int, default=8_000_000, help="characters (default 8000000)")
    parser.add_argument("--shares", default="40,38,10,12", help="per cent of repeats, stories, facts, novel")
    parser.add_argument("--inspecting", type=Path, metavar="FILE", help="also write the tokenizer with <bos>, here")
    given = parser.parse_args()
    shares = dict(zip(["repeats", "story", "facts", "novel"], map(int, given.shares.split(","))))

    paragraphs = novel(root / "configs/data/pride_and_prejudice.txt")
    cut = len(paragraphs) * 9 // 10
    sample = {kind: share for kind, share in shares.items() if kind != "repeats"}
    merges = learn(passages(Chance(3), [], paragraphs[:cut], 1_000_000, sample))
    pieces = [*CHARACTERS, *map("".join, merges)]
    text = passages(Chance(1), pieces, paragraphs[:cut], given.size * 9 // 10, shares)
    text += passages(Chance(2), pieces, paragraphs[cut:], given.size // 10, shares)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "text.txt").write_text(text, "ascii", newline="\n")
    write = lambda path, bos: path.write_text(json.dumps(tokenizer(merges, bos), separators=(',', ':')) + "\n", "ascii", newline="\n")
    write(given.out / "tokenizer.json", False)
    if given.inspecting:
        write(given.inspecting, True)


if __name__ == "__main__":
    main()
