"""Rule S3: what looks like a secret is told by its name or shape, and what plainly is none is left in peace."""

import time

import pytest

from reconciler.spec.secretlike import looks_secret

from .kit import problems

SECRET = [
    ("DB_PASSWORD", "hunter2"),
    ("dbPassword", "x1"),
    ("PGPASSWORD", "x1y"),
    ("API_TOKEN", "abc"),
    ("AWS_SECRET_ACCESS_KEY", "x/y+z1"),
    ("SENTRY_DSN", "https://x@sentry.example.org/1"),
    ("apiKey", "abc"),
    ("SIGNING_KEY", "abc"),
    ("X", "ghp_" + "a1B2" * 9),
    ("X", "glpat-" + "a1B2c3D4e5F6g7H8"),
    ("X", "AKIA" + "ABCDEFGH12345678"),
    ("URL", "postgres://shop:hunter2@db/shop"),
    ("X", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n"),
    ("X", "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl"),
    ("BLOB", "q7Rk2Vx9Lm4Tz8Wb1Nc6Yd3Hf5"),
    ("X", "AGE-SECRET-KEY-1QQQQQ"),
]
PLAIN = [
    ("EPOCHS", "40"),
    ("COUNTRY", "NO"),
    ("PGPASSFILE", "/run/secrets/shopdb-pgpass"),
    ("PASSWORD_FILE", "secrets/x"),
    ("TOKEN_TTL", "3600"),
    ("MAX_TOKENS", "4096"),
    ("TOKENIZER", "bert-base"),
    ("PASSWORD", ""),
    ("DEBUG_TOKEN", "false"),
    ("API_TOKEN", "${TOKEN}"),
    ("PASSWORD", "<set by the wrapper>"),
    ("KEYBOARD", "de"),
    ("PRIMARY_KEY", "order_id"),
    ("IMAGE_DIGEST", "q7Rk2Vx9Lm4Tz8Wb1Nc6Yd3Hf5"),
    ("COMMIT", "9f3c2e17" * 5),
    ("RUN", "6a7f1c3e-0d4b-4c56-9f0e-1b2c3d4e5f60"),
    ("URL", "postgres://shop@db:5432/shop"),
    ("WORDS", "the-quick-brown-fox-jumps-over-it"),
    ("PASS", "3"),
    ("COMPASS", "north"),
    ("URL", "https://example.org/a:b@c"),
    ("DSN", "/var/lib/x.sock"),
    ("QUERY", "select 1"),
]


@pytest.mark.parametrize(("name", "value"), SECRET)
def test_what_looks_secret_is_told(name: str, value: str) -> None:
    why = looks_secret(name, value)
    assert why and value not in why


@pytest.mark.parametrize(("name", "value"), PLAIN)
def test_what_is_none_is_left(name: str, value: str) -> None:
    assert looks_secret(name, value) == ""


@pytest.mark.parametrize(
    "text",
    ["a" * 200_000, "a:" * 100_000, "x://" * 50_000, "eyJaaaaaaaa." * 20_000, "aA1" * 70_000, "-----BEGIN " * 20_000],
)
def test_a_look_is_bounded(text: str) -> None:
    begin = time.process_time()
    looks_secret(text, text)
    assert time.process_time() - begin < 0.5


def test_S3_plain_text_that_looks_secret_is_a_warning_at_its_line_without_the_value() -> None:
    found = problems("environment:\n  EPOCHS: 40\n  DB_PASSWORD: hunter2\n")
    assert [(p.code, p.severity, p.line, p.pointer) for p in found] == [
        ("plaintext-secret", "warning", 3, "/environment/DB_PASSWORD")
    ]
    assert "hunter2" not in str(found)
