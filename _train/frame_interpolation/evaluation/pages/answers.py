"""Answers to a study: the files that participants download from its page. Their content is untrusted.

{"study": "5e0c…", "sealed": "eyJx…", "participant": "91ab…",
 "answers": [{"left": "3f9c…", "right": "a410…", "choice": "left", "milliseconds": 2310}, …]}

`sealed` identifies each clip (see `study`), so that the files can be analysed on their own.
"""

import base64
import json
from collections import Counter
from pathlib import Path
from typing import NamedTuple, TypeVar

from _train.frame_interpolation.evaluation.pages.study import study_name
from _util.counts import counted
from _util.errors import InputError
from _util.files import read_json

Field = TypeVar("Field")


class Preference(NamedTuple):
    """One answer."""

    item: str
    winner: int  # index of a method of the study
    loser: int


class Sheet(NamedTuple):
    """What one participant answered."""

    study: str
    methods: list[str]
    participant: str
    preferences: list[Preference]
    attention: float  # share of answered checks that were passed; 0 if none was answered, 1 if the study has none


class Answers(NamedTuple):
    """The sheets of one study, one per participant, and a sentence for each excluded file."""

    sheets: list[Sheet]
    complaints: list[str]


def gather(paths: list[Path]) -> Answers:
    """Read answers. Only the study with the most files, and the longest file of each participant, are used.

    Raises:
        InputError: no file can be used.
    """
    sheets, complaints = {}, []
    for path in paths:
        try:
            sheets[path] = read(path)
        except InputError as error:
            complaints.append(str(error))
    if not sheets:
        raise InputError(f"None of {counted(len(paths), 'file')} can be used; the first: {complaints[0]}")
    study = Counter(sheet.study for sheet in sheets.values()).most_common(1)[0][0]
    of_participant: dict[str, Path] = {}
    for path, sheet in sheets.items():
        if sheet.study != study:
            complaints.append(f"{path} belongs to another study than most files, and is left out.")
            continue
        other = of_participant.setdefault(sheet.participant, path)
        if other != path:
            kept, left = sorted((other, path), key=lambda p: -len(sheets[p].preferences))
            of_participant[sheet.participant] = kept
            complaints.append(f"{left} is by the same participant as {kept}, and is left out.")
    return Answers([sheets[path] for path in of_participant.values()], complaints)


def read(path: Path) -> Sheet:
    """Read one file of answers.

    Raises:
        InputError: it cannot be read, or a field is invalid.
    """
    content = read_json(path, "a file of answers, as the page of the study writes it,")
    try:
        return _sheet(content)
    except _UnexpectedError as error:
        raise InputError(f"{path} holds no answers of a study: {error}.") from error


class _UnexpectedError(Exception):
    """A field is invalid; the message says which and why."""


def _sheet(content: object) -> Sheet:
    study, sealed, participant = (_field(content, name, str) for name in ("study", "sealed", "participant"))
    if study_name(sealed) != study:
        raise _UnexpectedError("study and sealed do not belong together")
    try:
        key = json.loads(base64.b64decode(sealed, validate=True))
    except (ValueError, RecursionError) as error:
        raise _UnexpectedError("sealed cannot be opened") from error
    methods, clips = _methods(key), _clips(key)
    whole, broken = (_field(key, name, dict) for name in ("whole", "broken"))
    if any(not 0 <= method < len(methods) for method, _ in clips.values()):
        raise _UnexpectedError("sealed names an unknown method")

    preferences, passed, seen = [], [], set()
    for number, answer in enumerate(_field(content, "answers", list), 1):
        left, right, choice = (_field(answer, name, str) for name in ("left", "right", "choice"))
        if _field(answer, "milliseconds", int) < 0:
            raise _UnexpectedError(f"answer {number} has a negative duration")
        if choice not in ("left", "right"):
            raise _UnexpectedError(f"choice of answer {number} is neither left nor right")
        if frozenset((left, right)) in seen:
            raise _UnexpectedError(f"answer {number} repeats another")
        seen.add(frozenset((left, right)))
        winner, loser = (left, right) if choice == "left" else (right, left)
        if winner in clips and loser in clips:
            (better, item), (worse, other) = clips[winner], clips[loser]
            if item != other or better == worse:
                raise _UnexpectedError(f"answer {number} compares clips that the study does not compare")
            preferences.append(Preference(item, better, worse))
        elif {winner, loser} & set(whole) and {winner, loser} & set(broken):
            passed.append(loser in broken)
        else:
            raise _UnexpectedError(f"answer {number} is about clips that the study does not have")
    attention = sum(passed) / max(1, len(passed)) if broken else 1.0
    return Sheet(study, methods, participant, preferences, attention)


def _field(content: object, name: str, kind: type[Field]) -> Field:
    if not isinstance(content, dict):
        raise _UnexpectedError(f"{name} must be in an object")
    if name not in content:
        raise _UnexpectedError(f"{name} is missing")
    if not isinstance(content[name], kind):
        raise _UnexpectedError(f"{name} is not of type {kind.__name__}")
    return content[name]


def _methods(key: object) -> list[str]:
    methods = _field(key, "methods", list)
    are_names = all(isinstance(method, str) and method.isprintable() for method in methods)
    if len(methods) < 2 or not are_names or len({*methods}) < len(methods):
        raise _UnexpectedError("sealed does not name two methods or more")
    return methods


def _clips(key: object) -> dict[str, tuple[int, str]]:
    clips = {}
    for clip, entry in _field(key, "clips", dict).items():
        is_pair = isinstance(entry, list) and len(entry) == 2
        if not is_pair or type(entry[0]) is not int or not isinstance(entry[1], str):
            raise _UnexpectedError("sealed lacks the method or item of a clip")
        clips[clip] = (entry[0], entry[1])
    return clips
