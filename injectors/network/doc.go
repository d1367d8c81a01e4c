// Package network is the injector for networks that are slow, lossy or cut off.
//
// # Backends
//
// One fault can be put in by several means; a record names the one that Plan chose.
//
//   - netem: the kernel's own emulator (sch_netem) as the root qdisc of an
//     interface. It does everything, to what leaves the interface.
//   - bpf: a program at the interface's TCX hooks (Linux 6.6). It loses packets, in
//     both directions, and the kernel removes it together with the process that put
//     it there.
//   - shaper: squall's own emulator in user space, for kernels without sch_netem (Linux
//     6.6, TAP interfaces). It does all that netem does, to what leaves the interface.
//     A process of its own holds each fault, and ends with the one that applied it.
//
// # What is touched
//
// A fault belongs to one network namespace. Plan records the namespace by its path,
// identity and cookie, and every interface by its index: whoever reverts enters the
// namespace that was meant or none at all. The netem qdisc carries a handle, the
// programs and TAP interfaces a name, that Plan chose at random; nothing is removed
// that doesn't carry it. For netem, an interface that has a qdisc of somebody's own
// is refused.
package network
