package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/tcpcopy-go/tcpcopy/conf"
	"github.com/tcpcopy-go/tcpcopy/pipeline/source/recorded"
)

// pcapInfo tells what recordings hold for a replay, and returns the exit
// status: 2 where they, or the command line, are wrong. Files come first, or
// with -i; the other flags are those of a replay.
func pcapInfo(args []string) int {
	if err := writeInfo(args); err != nil {
		fmt.Fprintf(os.Stderr, "tcpcopy: %v\n", err)
		return 2
	}
	return 0
}

func writeInfo(args []string) error {
	var line []string
	for len(args) > 0 && (args[0] == conf.Stdin || !strings.HasPrefix(args[0], "-")) {
		line = append(line, "-i", args[0])
		args = args[1:]
	}
	c, err := conf.ParseTcpcopy(append(line, args...), os.Stdout)
	switch {
	case errors.Is(err, conf.ErrHelp), errors.Is(err, conf.ErrPrinted):
		return nil
	case err != nil:
		return err
	case len(c.Replay.Files) == 0:
		return errors.New("pcap-info: no recording; name one, as in tcpcopy pcap-info s1.pcap -x 80-10.1.1.100")
	}
	s, err := recorded.Survey(c)
	if s.Packets > 0 || err == nil {
		if werr := s.Print(os.Stdout); werr != nil {
			return werr
		}
	}
	if path := c.Replay.Report; path != "" {
		text, jerr := json.MarshalIndent(s, "", "  ")
		if jerr == nil {
			jerr = os.WriteFile(path, append(text, '\n'), 0o644)
		}
		err = errors.Join(err, jerr)
	}
	return err
}
