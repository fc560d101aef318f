"""The command `sitegen check`, where neither torch nor an encoder can be imported."""

from __future__ import annotations

from pathlib import Path

from tests.support.builders import Builder, run_sitegen, write_site

BLOCKED = "torch imageio_ffmpeg imageio PIL html5lib"
SITE = 'page_budget = 10\ntitle = "A title"\n[models.tiny]\npath = "models/tiny"\n'


def test_check(tmp_path: Path) -> None:
    """Warnings fail only with --strict; the site's budget counts; a folder alone will do."""

    def check(*words: str) -> tuple[int, str, str]:
        done = run_sitegen(tmp_path, "check", *words, FAKE_BLOCK=BLOCKED)
        return done.returncode, done.stdout, done.stderr

    site = Builder(write_site(tmp_path, site=SITE))
    site()
    code, out, error = check()
    assert (code, error) == (0, "")
    assert "warning: build/index.html: fetches" in out
    assert "checked 2 pages" in out  # with 404.html
    code, _, error = check("--strict")
    assert code == 1
    assert error.startswith("error: the site is not fit to be published: 0 errors, 1 warn")
    (site.output / "x.html").write_text('<a href="nothing">')
    site.config.unlink()
    assert check("--output", "build")[0] == 1
