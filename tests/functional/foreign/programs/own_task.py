"""Shows work of one's own as a task of the pool: own_task.py URL USER PASSWORD."""

import sys

import XenAPI


def main(session):
    xenapi = session.xenapi
    task = xenapi.task.create("Nightly backup", "started by own_task.py")
    print(f"{xenapi.task.get_name_label(task)}: {xenapi.task.get_status(task)}")
    xenapi.task.set_other_config(task, {"job": "4711"})
    xenapi.task.add_to_other_config(task, "step", "copy")
    try:
        xenapi.task.add_to_other_config(task, "step", "verify")
    except XenAPI.Failure as failure:
        print(failure.details[0])
    xenapi.task.remove_from_other_config(task, "step")
    xenapi.task.add_to_other_config(task, "step", "verify")
    print(sorted(xenapi.task.get_other_config(task).items()))
    for progress in (0.25, 0.5, 1.0):
        xenapi.task.set_progress(task, progress)
        print(xenapi.task.get_progress(task))
    xenapi.task.set_status(task, "success")
    record = xenapi.task.get_record(task)
    print(f"{record['status']}, {record['type']}")
    found = xenapi.task.get_all_records_where('field "name__label" = "Nightly backup"')
    print(f"found {list(found) == [task]}")
    xenapi.task.destroy(task)
    try:
        xenapi.task.get_status(task)
    except XenAPI.Failure as failure:
        print(failure.details[:2])


if __name__ == "__main__":
    url, username, password = sys.argv[1:4]
    session = XenAPI.Session(url)
    session.xenapi.login_with_password(username, password, "1.0", "own_task.py")
    try:
        main(session)
    finally:
        session.xenapi.session.logout()
