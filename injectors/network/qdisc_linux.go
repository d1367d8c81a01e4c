package network

import (
	"encoding/binary"
	"fmt"

	"github.com/squallhq/squall/internal/netns"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// qdisc is one queueing discipline, as the kernel lists it.
type qdisc struct {
	index          int
	handle, parent uint32
	kind           string
	stats          qdiscStats
	raw            []byte // the whole message
}

// qdiscStats are a qdisc's counters. Packets and bytes count what went through.
type qdiscStats struct {
	bytes, packets                       uint64
	queued, backlog, drops, over, requed uint32
}

// touched is every packet that the qdisc has seen.
func (s qdiscStats) touched() uint64 { return s.packets + uint64(s.drops) + uint64(s.queued) }

// Attributes of TCA_STATS2, linux/gen_stats.h.
const (
	tcaStatsBasic = 1
	tcaStatsQueue = 3
	tcaStatsPkt64 = 8
)

// tcRoot is TC_H_ROOT of linux/pkt_sched.h, the parent of a root qdisc.
const tcRoot = 0xffffffff

// tcMsgSize is the size of struct tcmsg of linux/rtnetlink.h.
const tcMsgSize = 20

// handleText writes a handle as tc does: "8001:".
func handleText(handle uint32) string { return fmt.Sprintf("%x:", handle>>16) }

// qdiscs lists the qdiscs of every interface in the calling thread's namespace.
func qdiscs() ([]qdisc, error) {
	list, err := netns.Dump(func() ([]qdisc, error) {
		req := nl.NewNetlinkRequest(unix.RTM_GETQDISC, unix.NLM_F_DUMP)
		req.AddData(&nl.TcMsg{Family: nl.FAMILY_ALL})
		messages, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWQDISC)
		if err != nil {
			return nil, err
		}
		list := make([]qdisc, 0, len(messages))
		for _, m := range messages {
			q, err := parseQdisc(m)
			if err != nil {
				return nil, err
			}
			list = append(list, q)
		}
		return list, nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot list the qdiscs: %w", err)
	}
	return list, nil
}

// roots returns the root qdisc of each interface by its index. An interface can be
// without one, for instance while it is down.
func roots() (map[int]qdisc, error) {
	list, err := qdiscs()
	if err != nil {
		return nil, err
	}
	byIndex := map[int]qdisc{}
	for _, q := range list {
		if q.parent == tcRoot {
			byIndex[q.index] = q
		}
	}
	return byIndex, nil
}

func parseQdisc(m []byte) (qdisc, error) {
	if len(m) < tcMsgSize {
		return qdisc{}, fmt.Errorf("a message of %d bytes is too short for a qdisc", len(m))
	}
	msg := nl.DeserializeTcMsg(m)
	q := qdisc{index: int(msg.Ifindex), handle: msg.Handle, parent: msg.Parent, raw: m}
	attrs, err := nl.ParseRouteAttr(m[tcMsgSize:])
	if err != nil {
		return qdisc{}, fmt.Errorf("cannot read a qdisc: %w", err)
	}
	for _, a := range attrs {
		switch a.Attr.Type {
		case nl.TCA_KIND:
			q.kind = nl.BytesToString(a.Value)
		case nl.TCA_STATS2:
			if q.stats, err = parseStats(a.Value); err != nil {
				return qdisc{}, err
			}
		}
	}
	return q, nil
}

func parseStats(value []byte) (s qdiscStats, err error) {
	attrs, err := nl.ParseRouteAttr(value)
	if err != nil {
		return s, fmt.Errorf("cannot read the statistics of a qdisc: %w", err)
	}
	native := binary.NativeEndian
	for _, a := range attrs {
		v := a.Value
		switch {
		case a.Attr.Type == tcaStatsBasic && len(v) >= 12:
			s.bytes = native.Uint64(v)
			s.packets = max(s.packets, uint64(native.Uint32(v[8:])))
		case a.Attr.Type == tcaStatsPkt64 && len(v) >= 8:
			// There only where the 32 bits above don't do.
			s.packets = max(s.packets, native.Uint64(v))
		case a.Attr.Type == tcaStatsQueue && len(v) >= 20:
			s.queued, s.backlog = native.Uint32(v), native.Uint32(v[4:])
			s.drops, s.requed, s.over = native.Uint32(v[8:]), native.Uint32(v[12:]), native.Uint32(v[16:])
		}
	}
	return s, nil
}

// addRootQdisc makes a root qdisc. NLM_F_EXCL lets it fail with EEXIST where
// anything but the kernel's own default is there.
func addRootQdisc(index int, handle uint32, kind string, options *nl.RtAttr) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	req.AddData(&nl.TcMsg{Family: nl.FAMILY_ALL, Ifindex: int32(index), Handle: handle, Parent: tcRoot})
	req.AddData(nl.NewRtAttr(nl.TCA_KIND, nl.ZeroTerminated(kind)))
	if options != nil {
		req.AddData(options)
	}
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// deleteRootQdisc removes the root qdisc of that handle; another one's is refused
// by the kernel with EINVAL.
func deleteRootQdisc(index int, handle uint32) error {
	req := nl.NewNetlinkRequest(unix.RTM_DELQDISC, unix.NLM_F_ACK)
	req.AddData(&nl.TcMsg{Family: nl.FAMILY_ALL, Ifindex: int32(index), Handle: handle, Parent: tcRoot})
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}
