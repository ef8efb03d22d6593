"""Prints every host with its memory and every guest with its power state: inventory.py URL USER PASSWORD."""

import sys

import XenAPI

GUESTS = 'field "is_a_template" = "false" and field "is_control_domain" = "false"'
MIB = 1024 * 1024


def main(session):
    hosts = session.xenapi.host.get_all_records()
    metrics = session.xenapi.host_metrics.get_all_records()
    for ref, host in sorted(hosts.items(), key=lambda item: item[1]["name_label"]):
        known = metrics[host["metrics"]]
        free = session.xenapi.host.compute_free_memory(ref)
        state = "live" if known["live"] else "dead"
        total = int(known["memory_total"]) // MIB
        cpus = host["cpu_info"]["cpu_count"]
        print(f"host {host['name_label']}: {state}, {cpus} CPUs, {int(free) // MIB} of {total} MiB free")

    guests = session.xenapi.VM.get_all_records_where(GUESTS)
    for guest in sorted(guests.values(), key=lambda record: record["name_label"]):
        where = hosts[guest["resident_on"]]["name_label"] if guest["power_state"] == "Running" else "-"
        print(f"guest {guest['name_label']}: {guest['power_state']} {where}")

    (pool,) = session.xenapi.pool.get_all_records().values()
    print(f"coordinator {hosts[pool['master']]['name_label']}, API {session.API_version}")


if __name__ == "__main__":
    url, username, password = sys.argv[1:4]
    session = XenAPI.Session(url)
    session.xenapi.login_with_password(username, password, "1.0", "inventory.py")
    try:
        main(session)
    finally:
        session.xenapi.session.logout()
