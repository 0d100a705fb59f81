package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/exporter-toolkit/web"

	"github.com/tcpcopy-go/tcpcopy/cmd/internal/appliance/page"
)

// newRegistry has what every process reports of itself.
func newRegistry(tool string) *prometheus.Registry {
	r := prometheus.NewRegistry()
	build := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace:   tool,
		Name:        "build_info",
		Help:        "The version and the commit of this build; always 1.",
		ConstLabels: prometheus.Labels{"version": version, "revision": Commit(), "goversion": runtime.Version()},
	}, func() float64 { return 1 })
	r.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// serveWeb serves the page, /metrics, /-/healthy, /-/ready and, if they are
// asked for, profiles where the configuration says so, until the function that
// it returns is called.
func (a *Appliance) serveWeb() (stop func(), err error) {
	if a.conf.WebListen == "" {
		return func() {}, nil
	}
	l, err := net.Listen("tcp", a.conf.WebListen)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w; choose another --web.listen-address", err)
	}
	errorLog := slog.NewLogLogger(a.Log.Handler(), slog.LevelWarn)
	s := &http.Server{
		Handler:           a.routes(errorLog),
		ErrorLog:          errorLog,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	go func() {
		serve := func() error { return s.Serve(l) }
		if a.conf.WebConfig != "" {
			serve = func() error {
				return web.Serve(l, s, &web.FlagConfig{WebConfigFile: &a.conf.WebConfig}, a.Log)
			}
		}
		if err := serve(); !errors.Is(err, http.ErrServerClosed) {
			a.Log.Error("metrics are not served any more", "error", err)
		}
	}()
	a.Log.Info("metrics", "address", l.Addr().String(), "web_config", a.conf.WebConfig)
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if s.Shutdown(ctx) != nil {
			s.Close()
		}
	}, nil
}

func (a *Appliance) routes(errorLog promhttp.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.Registry, promhttp.HandlerOpts{
		ErrorLog:            errorLog,
		MaxRequestsInFlight: 4,
		ErrorHandling:       promhttp.ContinueOnError,
	}))
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "%s is healthy\n", a.name)
	})
	mux.HandleFunc("GET /-/ready", func(w http.ResponseWriter, _ *http.Request) {
		if why := a.unready(); why != "" {
			http.Error(w, why, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, "%s is ready\n", a.name)
	})
	if a.conf.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index) // and what the runtime names
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	mux.Handle("GET /", page.Handler(a.name, Version()))
	return mux
}
