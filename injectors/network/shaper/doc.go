// Package shaper delays, loses, duplicates, corrupts and reorders the packets that
// leave an interface, in user space: for kernels without sch_netem.
//
// # The way of a packet
//
// Whoever uses this package attaches a program to the interface's egress that marks
// packets and redirects them to the shaper's TAP interface. The TAP is a sink: a
// packet socket on it captures what passes, and the kernel then frees the packet,
// so that its sender's socket is not charged for the time it waits (a TCP socket
// whose packets wait on egress stops sending: TCP small queues). The copy waits in
// the shaper's memory until the model's time has come, and is sent by a second
// packet socket on the interface itself, marked, which the program lets pass.
//
// What the kernel knows of a packet besides its bytes is lost on that way: its mark
// and its priority, by which a qdisc of somebody's own may tell packets apart.
//
// A packet's time counts from its capture, not from when the shaper gets to it.
//
// # Bounds
//
// Memory is taken once, before the first packet. What does not fit is dropped and
// counted. Nothing is allocated per packet.
package shaper
