"""Tokens of links: what was signed is read again, and nothing else is."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access.oidc import ALGORITHMS
from service.sharing.tokens import ALGORITHM, KIND, MAX_TOKEN, Claims, InvalidLinkError, is_share_token, sign, verify

SECRET, ANOTHER = "s" * 43, "t" * 43
#: As they are in paths.
ids = st.text("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-", min_size=1, max_size=64)


CLAIMS = Claims("5f", "job")


def token(claims: Claims = CLAIMS, *, since: float = 0.0) -> str:
    """One of so many seconds from now on, which lasts for a minute."""
    now = time.time() + since
    return sign(claims, SECRET, made_at=now, expires_at=now + 60)


@given(share=ids, job=ids)
def test_what_was_signed_is_read_again(share: str, job: str) -> None:
    made = token(Claims(share, job))
    assert is_share_token(made)
    assert verify(made, SECRET) == Claims(share, job)
    assert token(Claims(share, job)) != made, "nobody makes it again, not even with the secret"
    with pytest.raises(InvalidLinkError, match="not of this service"):
        verify(made, ANOTHER)


@given(st.data())
def test_no_other_claims_can_be_read(data: st.DataObject) -> None:
    """However a token is changed, it says what was signed, or nothing."""
    made = token()
    place = data.draw(st.integers(0, len(made) - 1))
    changed = made[:place] + data.draw(st.characters(codec="ascii")) + made[place + 1 :]
    try:
        assert verify(changed, SECRET) == CLAIMS
    except InvalidLinkError:
        assert changed != made


@given(st.text() | st.text(".eyJ0").map(lambda text: f"{token().partition('.')[0]}.{text}"))
def test_text_is_refused_and_breaks_nothing(text: str) -> None:
    assert isinstance(is_share_token(text), bool)
    with pytest.raises(InvalidLinkError, match="not of this service"):
        verify(text, SECRET)


def test_a_link_ends_when_it_was_said_to() -> None:
    assert verify(token(since=-50), SECRET)
    with pytest.raises(InvalidLinkError, match="has expired"):
        verify(token(since=-61), SECRET)


def test_the_clock_of_another_host_may_be_ahead() -> None:
    assert verify(token(since=120), SECRET)


@pytest.mark.parametrize("lacking", ["sub", "job", "exp"])
def test_a_token_that_lacks_something_is_refused(lacking: str) -> None:
    said = {"sub": "5f", "job": "job", "exp": time.time() + 60, "iat": 0, "jti": "x"}
    del said[lacking]
    made = jwt.encode(said, SECRET, ALGORITHM, headers={"typ": KIND})
    with pytest.raises(InvalidLinkError, match="not of this service"):
        verify(made, SECRET)


def test_what_is_not_signed_is_refused() -> None:
    made = jwt.encode({"sub": "5f", "job": "job", "exp": time.time() + 60}, None, "none", headers={"typ": KIND})
    assert is_share_token(made)
    with pytest.raises(InvalidLinkError, match="not of this service"):
        verify(made, SECRET)


def test_links_and_tokens_of_an_identity_provider_are_told_apart() -> None:
    assert ALGORITHM not in ALGORITHMS
    assert not is_share_token(jwt.encode({"sub": "ann"}, SECRET, "HS256"))


def test_a_header_that_is_nested_deeply_is_refused() -> None:
    deep = '{"a":' + "[" * 330 + f'"{KIND}"'
    made = f"{urlsafe_b64encode(deep.encode()).decode().rstrip('=')}.{'A' * 2}.AA"
    assert len(made) <= MAX_TOKEN
    assert is_share_token(made)
    with pytest.raises(InvalidLinkError):
        verify(made, SECRET)
    whole = json.dumps({"typ": KIND, "a": "x" * MAX_TOKEN})
    assert not is_share_token(f"{urlsafe_b64encode(whole.encode()).decode()}.e30.AA")
