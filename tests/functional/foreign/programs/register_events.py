"""Watches tasks the old way, with register and next: register_events.py URL USER PASSWORD GUEST."""

import sys

import XenAPI


def main(session, name):
    (vm,) = session.xenapi.VM.get_by_name_label(name)
    try:
        session.xenapi.event.next()
    except XenAPI.Failure as failure:
        print(failure.details[0])
    session.xenapi.event.register(["task", "vm"])
    try:
        task = session.xenapi.Async.VM.clean_reboot(vm)
        finished = False
        while not finished:
            try:
                events = session.xenapi.event.next()
            except XenAPI.Failure as failure:
                if failure.details[0] != "EVENTS_LOST":
                    raise
                session.xenapi.event.unregister(["task", "vm"])
                session.xenapi.event.register(["task", "vm"])
                finished = session.xenapi.task.get_status(task) != "pending"
                continue
            for event in events:
                if event["class"] == "task" and event["ref"] == task and event["operation"] != "del":
                    status = event["snapshot"]["status"]
                    print(f"task {event['snapshot']['name_label']}: {status}")
                    finished = status != "pending"
    finally:
        session.xenapi.event.unregister(["task", "vm"])
    session.xenapi.task.destroy(task)


if __name__ == "__main__":
    url, username, password, name = sys.argv[1:5]
    session = XenAPI.Session(url)
    session.xenapi.login_with_password(username, password, "1.0", "register_events.py")
    try:
        main(session, name)
    finally:
        session.xenapi.session.logout()
