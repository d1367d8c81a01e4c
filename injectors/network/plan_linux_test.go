package network

import (
	"encoding/json"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/internal/netns"
	"github.com/squallhq/squall/internal/quantity"
	"github.com/vishvananda/netlink"
)

var lossy = Spec{Loss: 5, Backend: bpfName}

func TestPlanRefusesTargetsWithoutANetworkOfTheirOwn(t *testing.T) {
	requireTCX(t)
	host, err := netns.Host()
	if err != nil {
		t.Fatal(err)
	}
	const own = "/proc/self/ns/net"
	for name, target := range map[string]injectors.Target{
		"a container on the host's network": {Kind: injectors.KindContainer, Name: "web", NetNS: own, NetNSID: host, HostNet: true},
		"a process of the host":             {Kind: injectors.KindProcess, Name: "web", NetNS: own, NetNSID: host},
		"the host's namespace by its path":  {Kind: injectors.KindNetNS, Name: "web", NetNS: own},
		"the host, all interfaces":          {Kind: injectors.KindInterface, Name: "web", HostNet: true},
	} {
		_, err := plan(t, lossy, target)
		if reason := wantRefusal(t, err); !strings.Contains(reason, "interface") {
			t.Errorf("%s: %s", name, reason)
		}
	}
	_, err = plan(t, lossy, injectors.Target{Kind: injectors.KindContainer, Name: "web"})
	if reason := wantRefusal(t, err); !strings.Contains(reason, "running") {
		t.Errorf("a stopped container: %s", reason)
	}
}

func TestPlanRefusesInterfacesThatAreNotThere(t *testing.T) {
	requireTCX(t)
	n := newNet(t)
	target := targetOf(t, n.target)
	withInterface := func(name string) Spec { s := lossy; s.Interface = name; return s }
	_, err := plan(t, withInterface("eth7"), target)
	if reason := wantRefusal(t, err); !strings.Contains(reason, `no interface "eth7"`) {
		t.Error(reason)
	}
	loopback := target
	loopback.Interface = "lo"
	_, err = plan(t, lossy, loopback)
	if reason := wantRefusal(t, err); !strings.Contains(reason, "loopback") {
		t.Error(reason)
	}
	_, err = plan(t, withInterface("eth0"), loopback)
	if reason := wantRefusal(t, err); !strings.Contains(reason, `"eth0"`) {
		t.Error(reason)
	}
	if err := netns.Do(target.NetNS, func() error {
		eth0, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.LinkSetDown(eth0)
	}); err != nil {
		t.Fatal(err)
	}
	_, err = plan(t, withInterface("eth0"), target)
	if reason := wantRefusal(t, err); !strings.Contains(reason, "is down") {
		t.Error(reason)
	}
	_, err = plan(t, lossy, target)
	if reason := wantRefusal(t, err); !strings.Contains(reason, "no interface that is up") {
		t.Error(reason)
	}
}

// The host's end of the testbed's link is an interface of the host.
func TestBPFOnAnInterfaceOfTheHost(t *testing.T) {
	requireTCX(t)
	n := newNet(t)
	gateway := net.IP(n.network.Gateway.AsSlice())
	uplink := ""
	list, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		addrs, err := i.Addrs()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range addrs {
			if ip, ok := a.(*net.IPNet); ok && ip.IP.Equal(gateway) {
				uplink = i.Name
			}
		}
	}
	f := &fault{t: t, registry: registry()}
	target := injectors.Target{Kind: injectors.KindInterface, ID: uplink, Name: uplink, Interface: uplink, HostNet: true}
	if f.step, err = plan(t, Spec{Partition: partitionDrop}, target); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.revert(f.registry) })
	if err := f.registry.Apply(t.Context(), f.step.Record); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("udp", n.peer.Addr.String()+":9")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for range 20 {
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if status := f.expect(registry(), injectors.Present); status.Touched < 20 || status.Facts[2].Value < 20 {
		t.Errorf("%+v", status)
	}
	if !strings.HasSuffix(f.step.Object, "/"+uplink) {
		t.Errorf("the object is %s", f.step.Object)
	}
	if got := measure(t, n.target, n.peer, traffic{packets: 50}); got.losses() != 0 {
		t.Errorf("%d of %d were lost between two others", got.losses(), got.sent)
	}
}

// recordOf reads a record.
func recordOf(t testing.TB, r injectors.Record) (record Record) {
	t.Helper()
	if err := json.Unmarshal(r.Data, &record); err != nil {
		t.Fatal(err)
	}
	return record
}

// altered plans a fault and returns its record, changed.
func altered(t *testing.T, spec Spec, n net2, change func(*Record)) injectors.Record {
	t.Helper()
	step, err := plan(t, spec, targetOf(t, n.target))
	if err != nil {
		t.Fatal(err)
	}
	record := recordOf(t, step.Record)
	change(&record)
	data, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	return injectors.Record{Injector: "network", Data: data}
}

func TestAReusedNamespaceNumberIsNotTheNamespace(t *testing.T) {
	requireTCX(t)
	n := newNet(t)
	record := altered(t, lossy, n, func(r *Record) { r.NetNSCookie++ })
	if err := registry().Apply(t.Context(), record); err == nil || !strings.Contains(err.Error(), "is gone") {
		t.Errorf("Apply = %v", err)
	}
	status, err := registry().Verify(t.Context(), record)
	if err != nil || status.Presence != injectors.Absent {
		t.Errorf("Verify = %+v, %v", status, err)
	}
}

func TestARecordThatIsNotSoundIsAnError(t *testing.T) {
	requireTCX(t)
	n := newNet(t)
	for name, change := range map[string]func(*Record){
		"another backend": func(r *Record) { r.Backend = "tbf" },
		"no program":      func(r *Record) { r.BPF = nil },
		"no name":         func(r *Record) { r.BPF.Program = "" },
		"no shaper":       func(r *Record) { r.Backend = shaperName },
		"another's part":  func(r *Record) { r.Backend = netemName },
	} {
		record := altered(t, lossy, n, change)
		if err := registry().Apply(t.Context(), record); err == nil {
			t.Errorf("%s: Apply succeeded", name)
		}
		if _, err := registry().Verify(t.Context(), record); err == nil {
			t.Errorf("%s: Verify succeeded", name)
		}
		if err := registry().Revert(t.Context(), record); err == nil {
			t.Errorf("%s: Revert succeeded", name)
		}
	}
}

func TestLimitGrowsWithDelayAndRate(t *testing.T) {
	for _, test := range []struct {
		spec Spec
		want uint32
	}{
		{Spec{Loss: 1}, 1000},
		{Spec{Delay: 100 * ms}, 51000},
		{Spec{Delay: 100 * ms, Jitter: 25 * ms}, 101000},
		{Spec{Delay: 1000 * ms, Rate: 512_000}, 2000},
		{Spec{Delay: quantity.Duration(quantity.MaxDuration)}, 1_001_000},
		{Spec{Delay: 1000 * ms, Limit: 7}, 7},
	} {
		if got := newNetem(&test.spec).Limit; got != test.want {
			t.Errorf("%+v: %d, want %d", test.spec, got, test.want)
		}
	}
}

func TestProbeSaysWhatIsMissingAndHowToGetIt(t *testing.T) {
	requireTCX(t)
	seen := map[string]Capability{}
	for _, c := range Probe(t.Context(), os.Args[0], shaperArgument) {
		seen[c.Name] = c
		if c.Detail == "" || c.OK != (c.Cost == "") || c.OK != (c.Remedy == "") {
			t.Errorf("%+v", c)
		}
	}
	if len(seen) != 5 || !seen["tcx"].OK || !seen["shaper"].OK || !seen["CAP_NET_ADMIN"].OK || seen["netem"].OK != ((netem{}).probe() == nil) {
		t.Errorf("%+v", seen)
	}
}
