package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// Addresses within the network namespace that a control plane has for itself.
const (
	nodeAddress = "10.250.0.1" // not loopback, which no EndpointSlice may hold
	apiPort     = "6443"
	etcdURL     = "http://127.0.0.1:2379"
	services    = "10.96.0.0/16"
	pods        = "10.244.0.0/16" // every address of it can be listened on
)

const startLimit = 2 * time.Minute

// Nothing sends heartbeats of nodes: controllers that would evict their pods stay off.
const controllersInUse = "*,-node-lifecycle-controller,-taint-eviction-controller"

const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  nonResourceURLs: ["/livez*", "/readyz*", "/healthz*", "/openapi/*", "/api*", "/version"]
- level: Metadata
`

// controlPlane runs etcd, kube-apiserver and kube-controller-manager in a folder until its standard input ends.
//
// Must not: leave a process or a file behind, however it or its caller ends. Closing standard input is how the
// caller says so, and the kernel does it for a caller that was killed; the servers get SIGKILL from the kernel
// when this process goes. It is started in a network namespace of its own, so that every port is free.
//
// Once the API server serves, one line of JSON on standard output says how to reach it.
func controlPlane() int {
	// The kernel ends the children when the thread that started them ends.
	runtime.LockOSThread()
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: control-plane FOLDER")
		return 2
	}
	plane := &plane{folder: os.Args[1]}
	defer plane.stop()
	if err := plane.start(); err != nil {
		fmt.Fprintln(os.Stderr, "control-plane:", err)
		return 1
	}
	if err := json.NewEncoder(os.Stdout).Encode(plane.description()); err != nil {
		return 1
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return 1
	}
	return 0
}

type plane struct {
	folder  string
	token   string
	started []*exec.Cmd
}

func (p *plane) file(name string) string { return filepath.Join(p.folder, name) }

func (p *plane) description() map[string]string {
	return map[string]string{
		"address":    nodeAddress,
		"auditLog":   p.file("audit.log"),
		"kubeconfig": p.file("admin.kubeconfig"),
	}
}

func (p *plane) start() error {
	if err := network(); err != nil {
		return err
	}
	if err := p.write(); err != nil {
		return err
	}
	if err := p.run("etcd", "--data-dir", p.file("etcd"), "--unsafe-no-fsync", "--log-level", "error",
		"--listen-client-urls", etcdURL, "--advertise-client-urls", etcdURL,
		"--listen-peer-urls", "http://127.0.0.1:2380"); err != nil {
		return err
	}
	if err := p.run("kube-apiserver", "--etcd-servers", etcdURL, "--cert-dir", p.folder,
		"--advertise-address", nodeAddress, "--secure-port", apiPort, "--service-cluster-ip-range", services,
		"--authorization-mode", "Node,RBAC", "--token-auth-file", p.file("tokens.csv"), "--allow-privileged",
		"--enable-admission-plugins", "OwnerReferencesPermissionEnforcement",
		"--service-account-issuer", "https://kubernetes.default.svc",
		"--service-account-signing-key-file", p.file("account.key"),
		"--service-account-key-file", p.file("account.key"),
		"--audit-policy-file", p.file("audit-policy.yaml"), "--audit-log-path", p.file("audit.log"),
		"--audit-log-mode", "blocking", "--audit-log-maxsize", "100000"); err != nil {
		return err
	}
	if err := p.ready(); err != nil {
		return err
	}
	return p.run("kube-controller-manager", "--kubeconfig", p.file("admin.kubeconfig"), "--leader-elect=false",
		"--bind-address", "127.0.0.1", "--use-service-account-credentials",
		"--service-account-private-key-file", p.file("account.key"), "--root-ca-file", p.file("apiserver.crt"),
		"--controllers", controllersInUse, "--concurrent-statefulset-syncs", "10",
		"--concurrent-gc-syncs", "10", "--horizontal-pod-autoscaler-sync-period", "2s",
		"--kube-api-qps", "500", "--kube-api-burst", "1000")
}

// network gives the namespace an address that is not loopback.
func network() error {
	for _, line := range [][]string{
		{"link", "set", "lo", "up"},
		{"address", "add", nodeAddress + "/16", "dev", "lo"},
		{"route", "add", "local", pods, "dev", "lo"},
	} {
		if printed, err := exec.Command("ip", line...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %v: %w: %s (a network namespace needs root and iproute2)", line, err, printed)
		}
	}
	return nil
}

// write puts the configuration into the folder.
func (p *plane) write() error {
	random := make([]byte, 16)
	if _, err := rand.Read(random); err != nil {
		return err
	}
	p.token = hex.EncodeToString(random)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	kubeconfig := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: admin
clusters:
- {name: test, cluster: {server: "https://%s:%s", certificate-authority: %s}}
users:
- {name: admin, user: {token: %s}}
contexts:
- {name: admin, context: {cluster: test, user: admin}}
`, nodeAddress, apiPort, p.file("apiserver.crt"), p.token)
	for name, text := range map[string]string{
		"account.key":       string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})),
		"admin.kubeconfig":  kubeconfig,
		"audit-policy.yaml": auditPolicy,
		"tokens.csv":        p.token + ",admin,admin,system:masters\n",
	} {
		if err := os.WriteFile(p.file(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// run starts a program of this file; what it prints goes to NAME.log.
func (p *plane) run(name string, arguments ...string) error {
	log, err := os.Create(p.file(name + ".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	command := exec.Command(self, slices.Insert(arguments, 0, name)...)
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := command.Start(); err != nil {
		return err
	}
	p.started = append(p.started, command)
	return nil
}

// ready waits until the API server serves, its own roles included.
func (p *plane) ready() error {
	ctx, stop := context.WithTimeout(context.Background(), startLimit)
	defer stop()
	for {
		if client, err := p.client(); err == nil {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+nodeAddress+":"+apiPort+"/readyz", nil)
			if err != nil {
				return err
			}
			request.Header.Set("Authorization", "Bearer "+p.token)
			answer, err := client.Do(request)
			if err == nil {
				answer.Body.Close()
				if answer.StatusCode == http.StatusOK {
					return nil
				}
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the API server does not serve within %s: %s", startLimit, p.lastLines("kube-apiserver"))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// client trusts the certificate that the API server has made for itself.
func (p *plane) client() (*http.Client, error) {
	certificate, err := os.ReadFile(p.file("apiserver.crt"))
	if err != nil {
		return nil, err
	}
	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM(certificate) {
		return nil, errors.New("apiserver.crt is not written yet")
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}}, nil
}

func (p *plane) lastLines(name string) string {
	text, err := os.ReadFile(p.file(name + ".log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// stop ends the servers, newest first, and removes the folder.
func (p *plane) stop() {
	for _, command := range slices.Backward(p.started) {
		// Both fail only for a process that has ended.
		_ = command.Process.Kill()
		_ = command.Wait()
	}
	if err := os.RemoveAll(p.folder); err != nil {
		fmt.Fprintln(os.Stderr, "control-plane:", err)
	}
}
