// Lists a pool, moves a guest and sees it arrive, the way Xen Orchestra does:
// node xen_orchestra.mjs URL USER PASSWORD TRANSPORT GUEST-UUID HOST-UUID
import { createClient } from 'xen-api'

const [url, user, password, transport, guestUuid, hostUuid] = process.argv.slice(2)
const xapi = createClient({ url, auth: { user, password }, allowUnauthorized: true, transport, debounce: 20 })
const failure = promise => promise.then(() => 'nothing', error => `${error.code} ${error.params.length}`)

let seenTask
const arrival = new Promise(resolve => {
  const look = changed => {
    for (const object of Object.values(changed)) {
      if (object?.$type === 'task') seenTask = object
      if (object?.uuid === guestUuid && object.$resident_on?.uuid === hostUuid) resolve(object)
    }
  }
  xapi.objects.on('add', look)
  xapi.objects.on('update', look)
})

await xapi.connect()
console.log(`${xapi.status} to ${xapi.pool.name_label}`)
await xapi.objectsFetched

const counts = {}
for (const object of Object.values(xapi.objects.all)) {
  counts[object.$type] = (counts[object.$type] ?? 0) + 1
}
for (const type of ['SR', 'VM', 'host', 'pool']) console.log(`${type} ${counts[type]}`)

const guest = xapi.getObjectByUuid(guestUuid)
const host = xapi.getObjectByUuid(hostUuid)
console.log(`${guest.name_label} ${guest.power_state} on ${guest.$resident_on.name_label}`)
console.log(`enabled ${await host.$call('get_enabled')}, live ${await xapi.getField('host_metrics', host.metrics, 'live')}`)

console.log(`result '${await guest.$callAsync('pool_migrate', host.$ref, { live: 'true' })}'`)
console.log(`seen on ${(await arrival).$resident_on.name_label}`)
console.log(`${seenTask.name_label} ${seenTask.status}`)

await guest.update_other_config('moved-by', 'xen-orchestra')
const later = await xapi.barrier(guest.$ref)
console.log(`other_config ${later.other_config['moved-by']}`)
await later.update_other_config('moved-by', null)

console.log(await failure(xapi.call('VM.pool_migrate', 'OpaqueRef:no-such-guest', host.$ref, {})))
console.log(await failure(guest.$callAsync('start', false, false)))

const back = xapi.getObjectByUuid(guestUuid)
console.log(`synchronously '${await back.$call('pool_migrate', guest.resident_on, { live: 'true' })}'`)

await xapi.disconnect()
console.log(xapi.status)
