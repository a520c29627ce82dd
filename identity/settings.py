"""What can be set about identity, from `FLOWLOOM_IDENTITY_*`."""

from __future__ import annotations

from dataclasses import dataclass, field

from mesh.db.database import DatabaseSettings
from mesh.settings import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityDatabase(DatabaseSettings):
    """Identity's own database; a file of its own where it is SQLite."""

    url: str = setting("sqlite:///flowloom-identity.db", doc="MySQL, MariaDB or SQLite of its own.", secret=True)
    writers: int = setting(4, doc="Transactions at once; SQLite has one.", minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordSettings:
    """How passwords are hashed (argon2id), and which are taken. The defaults are the first choice of OWASP."""

    memory_kib: int = setting(47104, doc="Memory of one hash.", minimum=8)
    passes: int = setting(1, doc="Passes of one hash over its memory.", minimum=1)
    lanes: int = setting(1, doc="Lanes of one hash.", minimum=1)
    threads: int = setting(2, doc="Hashes at once.", minimum=1)
    max_waiting: int = setting(64, doc="Hashes that may wait; more are RESOURCE_EXHAUSTED.", minimum=1)
    min_characters: int = setting(8, doc="The shortest new password.", minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSettings:
    """What tokens say and how long they are good."""

    issuer: str = setting("flowloom", doc="The claim iss of access tokens.")
    audience: str = setting("flowloom", doc="The claim aud of access tokens.")
    access_seconds: int = setting(300, doc="How long an access token is good.", minimum=1)
    refresh_seconds: int = setting(604_800, doc="How long a refresh token is good, anew with each refresh.", minimum=1)
    session_seconds: int = setting(2_592_000, doc="How long a session lasts at most.", minimum=1)
    refresh_retry_seconds: float = setting(10.0, doc="How long a refresh may be retried with its request_id.")
    reuse_memory_seconds: float = setting(86_400.0, doc="How long a replaced refresh token is known as such.")
    api_token_seconds: int = setting(0, doc="The longest life of an API token; 0: for ever.", minimum=0)
    max_sessions: int = setting(100, doc="Sessions of one user; the oldest one ends for a new one.", minimum=1)
    max_api_tokens: int = setting(100, doc="API tokens of one user.", minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySettings:
    """The keys that sign access tokens."""

    rotation_seconds: float = setting(2_592_000.0, doc="How long a key signs before the next one does.", minimum=1)
    lead_seconds: float = setting(3600.0, doc="How long a key is published before it signs.")
    poll_seconds: float = setting(30.0, doc="How often a replica looks for keys of the others.", minimum=0.01)
    jwks_cache_seconds: int = setting(300, doc="How long clients may keep the JWKS.", minimum=0)
    encryption_keys: tuple[str, ...] = setting(
        (),
        doc="Keys that encrypt private keys in the database, 32 bytes in base64 each; the first seals, all open.",
        secret=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottleSettings:
    """How wrong passwords slow down: each doubles the wait, once some were free."""

    user_free: int = setting(5, doc="Wrong passwords of one user that cost no wait.", minimum=1)
    user_longest_seconds: float = setting(300.0, doc="The longest wait of one user.")
    address_free: int = setting(20, doc="Wrong credentials of one address that cost no wait.", minimum=1)
    address_longest_seconds: float = setting(900.0, doc="The longest wait of one address.")
    first_seconds: float = setting(1.0, doc="The first wait.")
    forget_seconds: float = setting(3600.0, doc="After how long without a wrong one all is forgotten.")
    forwarded_hops: int = setting(
        1, doc="Proxies before us: whose entry of x-forwarded-for, from its end, is the client.", minimum=0
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideIssuerSettings:
    """An OIDC issuer whose tokens are exchanged for ours; trusted if its URL is set."""

    url: str = setting("", doc="The issuer, exactly as its tokens name it; empty: none is trusted.")
    audience: str = setting("", doc="The claim aud that its tokens must have.")
    jwks_url: str = setting("", doc="Where its keys are; empty: as its discovery document says.")
    user_claim: str = setting("sub", doc="The claim that is the user's id here.")
    groups_claim: str = setting("groups", doc="The claim with ids of groups; empty: memberships are managed here.")
    tenant_claim: str = setting("", doc="The claim with the tenant's id; empty: the tenant is managed here.")
    provision: bool = setting(False, doc="Make a user who is seen for the first time.")
    leeway_seconds: float = setting(30.0, doc="How much its clock and ours may differ.")
    timeout_seconds: float = setting(5.0, doc="How long it may take to answer.", minimum=0.1)
    keys_seconds: float = setting(3600.0, doc="How long its keys are kept.")
    refetch_seconds: float = setting(10.0, doc="How long after a fetch an unknown key causes no other one.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """How much of something one may have."""

    max_picture_bytes: int = setting(2 * 1024 * 1024, doc="The largest picture.", minimum=1)
    max_infos: int = setting(100, doc="Words of info of one user.", minimum=1)
    max_info_characters: int = setting(4000, doc="The longest value of a word of info.", minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentitySettings:
    """Complete and working when nothing is set."""

    database: IdentityDatabase = field(default_factory=IdentityDatabase)
    passwords: PasswordSettings = field(default_factory=PasswordSettings)
    tokens: TokenSettings = field(default_factory=TokenSettings)
    keys: KeySettings = field(default_factory=KeySettings)
    throttle: ThrottleSettings = field(default_factory=ThrottleSettings)
    outside: OutsideIssuerSettings = field(default_factory=OutsideIssuerSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    migrate: bool = setting(True, doc="Bring the tables up to date at the start.")
    admin_user: str = setting("admin", doc="The administrator that the first start makes.")
    admin_password: str | None = setting(
        None, doc="Their password; unset: a one-time password is printed.", secret=True
    )
    everyone: tuple[str, ...] = setting(
        ("identity.self.*", "notify.own-preferences.*"), doc="Privileges of every user who is not disabled."
    )
    sweep_seconds: float = setting(60.0, doc="How often what is over is deleted.", minimum=0.01)
    answers_seconds: float = setting(604_800.0, doc="How long a request_id is remembered.")
