package pcapfile

import (
	"errors"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcpcopy-go/tcpcopy/ring"
)

// The recordings of gopacket's module: the pcapng test suite (both byte orders,
// several sections and interfaces, odd and broken blocks) and real captures of
// Ethernet, loopback and Linux cooked. What tcpdump reads to the end, we read
// with as many IP packets.
func TestSampleRecordingsHoldAsManyPacketsAsTcpdumpFinds(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/gopacket/gopacket").Output()
	if err != nil {
		t.Fatal(err)
	}
	read, whole := 0, 0
	err = filepath.WalkDir(strings.TrimSpace(string(out)), func(path string, _ fs.DirEntry, err error) error {
		if ext := filepath.Ext(path); err != nil || ext != ".pcap" && ext != ".pcapng" {
			return err
		}
		read++
		got, gotErr := count(t, path)
		found, err := exec.Command("tcpdump", "-r", path, "--count", "ip or ip6").Output()
		if err != nil {
			return nil // it gives up where interfaces differ
		}
		whole++
		want, err := strconv.Atoi(strings.Fields(string(found))[0])
		if err != nil || gotErr != nil || got != want {
			t.Errorf("%s: %d IP packets, %v; tcpdump finds %d", path, got, gotErr, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if whole < 20 {
		t.Errorf("of %d recordings tcpdump read %d only", read, whole)
	}
}

func count(t *testing.T, path string) (n int, err error) {
	r, err := Open(path)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	for {
		var f ring.Frame
		switch err := r.Next(&f); {
		case err == io.EOF:
			return n, nil
		case err != nil:
			if broken := new(Error); !errors.As(err, &broken) {
				t.Errorf("%s: an error without its place: %v", path, err)
			}
			return n, err
		}
		if f.Protocol == unix.ETH_P_IP || f.Protocol == unix.ETH_P_IPV6 {
			n++
		}
	}
}
