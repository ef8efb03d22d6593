"""Logs in through any host of a pool: reach_coordinator.py URL USER PASSWORD."""

import sys
import urllib.parse

import XenAPI


def log_in(url, username, password):
    session = XenAPI.Session(url)
    try:
        session.xenapi.login_with_password(username, password, "1.0", "reach_coordinator.py")
    except XenAPI.Failure as failure:
        if failure.details[0] != "HOST_IS_SLAVE":
            raise
        address = failure.details[1]
        print(f"a member, its coordinator is {address}")
        parts = urllib.parse.urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        return log_in(f"{parts.scheme}://{address}{port}", username, password)
    return session


def main(session):
    (pool,) = session.xenapi.pool.get_all()
    master = session.xenapi.pool.get_master(pool)
    here = session.xenapi.session.get_this_host(session._session)
    print(f"talking to {session.xenapi.host.get_name_label(here)}, the coordinator: {here == master}")


if __name__ == "__main__":
    url, username, password = sys.argv[1:4]
    try:
        session = log_in(url, username, password)
    except XenAPI.Failure as failure:
        print(f"no session: {failure.details[0]}")
        sys.exit(1)
    try:
        main(session)
    finally:
        session.xenapi.session.logout()
