from typing import Any
from xmlrpc.client import ServerProxy, Transport

API_VERSION_1_1: str
API_VERSION_1_2: str

class Failure(Exception):
    details: list[Any]
    def __init__(self, details: list[Any]) -> None: ...

class Session(ServerProxy):
    transport: Transport | None
    last_login_method: str | None
    last_login_params: tuple[Any, ...] | None
    _session: str | None
    def __init__(
        self,
        uri: str,
        transport: Transport | None = ...,
        encoding: str | None = ...,
        verbose: bool = ...,
        allow_none: bool = ...,
        ignore_ssl: bool = ...,
    ) -> None: ...
    @property
    def xenapi(self) -> Any: ...
    @property
    def handle(self) -> str | None: ...
    def xenapi_request(self, methodname: str, params: tuple[Any, ...]) -> Any: ...
    def _login(self, method: str, params: tuple[Any, ...]) -> None: ...
    def _logout(self) -> Any: ...

def xapi_local() -> Session: ...
