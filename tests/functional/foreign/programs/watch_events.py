"""Prints what happens in a pool until a guest halts: watch_events.py URL USER PASSWORD GUEST."""

import sys

import XenAPI

CALL_TIMEOUT = 30.0


def main(session, wanted):
    # Without a token the pool answers with everything that it holds.
    output = session.xenapi.event_from(["*"], "", CALL_TIMEOUT)
    counts = {kind: count for kind, count in output["valid_ref_counts"].items() if count}
    print(f"watching {counts['vm']} VMs on {counts['host']} hosts", flush=True)
    while True:
        output = session.xenapi.event_from(["*"], output["token"], CALL_TIMEOUT)
        for event in output["events"]:
            snapshot = event.get("snapshot", {})
            name = snapshot.get("name_label", "")
            print(f"{event['class']} {event['operation']} {name}".rstrip())
            if event["class"] == "vm" and name == wanted and snapshot["power_state"] == "Halted":
                print(f"{wanted} has halted")
                return


if __name__ == "__main__":
    url, username, password, wanted = sys.argv[1:5]
    session = XenAPI.Session(url)
    session.xenapi.login_with_password(username, password, "1.0", "watch_events.py")
    try:
        main(session, wanted)
    except XenAPI.Failure as failure:
        print(failure.details)
        sys.exit(1)
    finally:
        session.xenapi.session.logout()
