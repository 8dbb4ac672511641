from _util.counts import counted


def test_a_noun_has_an_s_unless_there_is_one():
    assert [counted(number, "cut") for number in (0, 1, 2)] == ["0 cuts", "1 cut", "2 cuts"]
