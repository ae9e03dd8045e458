"""The little HTML that the report needs: escaped text, tables, figures with inline pictures."""

import base64
import html
import importlib.resources
from collections.abc import Iterable, Sequence
from string import Template


def escape(text: object) -> str:
    """Make a value safe as HTML text or attribute."""
    return html.escape(str(text), quote=True)


def paragraph(text: object) -> str:
    """Wrap plain text in a paragraph."""
    return f"<p>{escape(text)}</p>"


def heading(text: object) -> str:
    """Make a heading within a section."""
    return f"<h3>{escape(text)}</h3>"


def inline_image(data: bytes, alternative: str, *, narrow: bool = False) -> str:
    """Embed a PNG or GIF.

    Parameters
    ----------
    data : bytes
        The encoded picture.
    alternative : str
        What it shows, for those who cannot see it.
    narrow : bool
        Whether to keep its own width rather than the page's.

    Returns
    -------
    str
    """
    kind = "gif" if data[:3] == b"GIF" else "png"
    content = base64.b64encode(data).decode("ascii")
    look = ' class="narrow"' if narrow else ""
    return f'<img{look} alt="{escape(alternative)}" src="data:image/{kind};base64,{content}">'


def figure(data: bytes, caption: str, *, narrow: bool = False) -> str:
    """Embed a picture with its caption; print leaves out what moves."""
    image = inline_image(data, caption, narrow=narrow)
    kind = ' class="movie"' if data[:3] == b"GIF" else ""
    return f"<figure{kind}>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def table(header: Sequence[str], rows: Iterable[Sequence[object]], *, numeric: int = 0) -> str:
    """Make a table.

    Parameters
    ----------
    header : sequence of str
        Column titles.
    rows : iterable of sequence
        Cells; plain values.
    numeric : int
        So many columns at the right hold numbers.

    Returns
    -------
    str
    """
    first_number = len(header) - numeric

    def cells(tag: str, row: Sequence[object]) -> str:
        return "".join(
            f"<{tag}{' class=number' if place >= first_number else ''}>{escape(cell)}</{tag}>"
            for place, cell in enumerate(row)
        )

    body = "\n".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{cells('th', header)}</tr></thead><tbody>\n{body}\n</tbody></table>"


def facts(rows: Iterable[tuple[object, object]]) -> str:
    """Make a list of names with their values."""
    body = "\n".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    return f"<dl>\n{body}\n</dl>"


def code(text: str) -> str:
    """Show text as typed."""
    return f"<pre><code>{escape(text)}</code></pre>"


def folded(summary: str, content: str) -> str:
    """Hide details until asked for; print shows them."""
    return f"<details><summary>{escape(summary)}</summary>\n{content}\n</details>"


def section(identity: str, title: str, parts: Iterable[str]) -> str:
    """Make a section of the page; empty where it has no parts."""
    body = "\n".join(part for part in parts if part)
    if not body:
        return ""
    return f'<section id="{escape(identity)}">\n<h2>{escape(title)}</h2>\n{body}\n</section>'


def fill_page(title: str, subtitle: str, verdict: Iterable[str], sections: Iterable[str]) -> str:
    """Fill the page's template.

    Parameters
    ----------
    title, subtitle : str
        Plain text.
    verdict : iterable of str
        Plain sentences.
    sections : iterable of str
        HTML.

    Returns
    -------
    str
        The whole page.
    """
    files = importlib.resources.files("cryosway.report")
    template = Template((files / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(title),
        subtitle=escape(subtitle),
        style=(files / "page.css").read_text(encoding="utf-8"),
        verdict="\n".join(paragraph(sentence) for sentence in verdict),
        sections="\n\n".join(part for part in sections if part),
    )
