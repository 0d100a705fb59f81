package lab

import "testing"

// The mirror loses packets, what it mirrors does not.
func TestAMirrorLosesItsShareOfThePackets(t *testing.T) {
	const connections = 100 // each of at least four packets to the online host
	for _, c := range []struct {
		loss        float64
		least, most uint64
	}{{0, 4 * connections, 8 * connections}, {0.5, 1.5 * connections, 3.5 * connections}, {0.9, 0.1 * connections, 1.5 * connections}} {
		n, err := openLab(t).NewSmall(Options{Offload: true, Assistants: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := n.MirrorOnline(c.loss); err != nil {
			t.Fatal(err)
		}
		answerWithName(t, n.Online, ":80")
		for range connections {
			if who, err := ask(n.Client, "", OnlineAddr4+":80"); err != nil || who != "online" {
				t.Fatalf("%q answers, %v", who, err)
			}
		}
		mirror, err := n.Online.nl.LinkByName(MirrorInterface)
		if err != nil {
			t.Fatal(err)
		}
		if got := mirror.Attrs().Statistics.RxPackets; got < c.least || got > c.most {
			t.Errorf("with a loss of %v the mirror has %d packets, want %d to %d", c.loss, got, c.least, c.most)
		}
		if accepted, err := n.Online.Accepted(); err != nil || accepted != connections {
			t.Errorf("%d connections accepted, %v; want %d", accepted, err, connections)
		}
	}
}
