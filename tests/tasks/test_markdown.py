"""Text from outside in Markdown, read back by an independent renderer."""

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tasks.markdown import block, code, text

ANY = st.text(st.characters(exclude_categories=["Cs", "Cc"]))


def inline(markdown: str) -> list[tuple[str, str]]:
    children = MarkdownIt().parseInline(markdown)[0].children or []
    return [(token.type, token.content) for token in children if token.content]


@given(ANY)
def test_text_renders_as_the_text_itself(value: str) -> None:
    tokens = inline(f"a {text(value)} z")
    assert {kind for kind, _ in tokens} <= {"text", "text_special"}
    assert "".join(content for _, content in tokens).split() == ["a", *value.split(), "z"]


@given(ANY.filter(lambda value: value.strip() and "|" not in value))
def test_code_renders_as_one_code_span(value: str) -> None:
    tokens = inline(f"{code(value)}")
    assert [kind for kind, _ in tokens] == ["code_inline"]
    assert tokens[0][1].split() == value.split()


@given(st.text(st.sampled_from("`a\n +-"), max_size=60))
def test_a_block_ends_where_it_should(value: str) -> None:
    tokens = MarkdownIt().parse(block(value, "diff") + "after")
    assert [token.type for token in tokens][:2] == ["fence", "paragraph_open"]
    assert tokens[0].content == value + "\n"


def test_a_table_cell_cannot_open_another() -> None:
    assert text("a|b") == "a\\|b"
    assert code("a|b") == "`a\\|b`"
