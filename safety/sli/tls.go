package sli

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/squallhq/squall/internal/strict"
)

// TLS says how a server is verified, and with which certificate the client shows
// itself. Files are PEM, and named by absolute path: a document means the same
// wherever squall is started.
type TLS struct {
	CA                 string `yaml:"ca" doc:"A file of the authorities that may have signed the server's certificate; the system's where this is left out." example:"/etc/shop/ca.pem"`
	ServerName         string `yaml:"serverName" doc:"The name that the server's certificate must carry, where it is not the URL's host."`
	InsecureSkipVerify bool   `yaml:"insecureSkipVerify" doc:"Takes any certificate. The latency is as good; what answers may be anybody."`
	Cert               string `yaml:"cert" doc:"A file with the client's certificate." example:"/etc/shop/client.pem"`
	Key                string `yaml:"key" doc:"A file with the key of the client's certificate." example:"/etc/shop/client.key"`
}

// maxPEM bounds the size of a certificate file.
const maxPEM = 1 << 20

// Check reports what is wrong with the definition.
func (t *TLS) Check(at strict.Value) (problems strict.Problems) {
	for key, path := range map[string]string{"ca": t.CA, "cert": t.Cert, "key": t.Key} {
		if path != "" && !filepath.IsAbs(path) {
			problems = append(problems, at.Field(key).Problemf("%s must be an absolute path", key))
		}
	}
	if (t.Cert == "") != (t.Key == "") {
		problems = append(problems, at.Problemf("cert and key belong together"))
	}
	return problems
}

// config reads the files.
func (t *TLS) config() (*tls.Config, error) {
	config := &tls.Config{
		ServerName:         t.ServerName,
		InsecureSkipVerify: t.InsecureSkipVerify, //nolint:gosec // the document asks for it
		MinVersion:         tls.VersionTLS12,
	}
	if t.CA != "" {
		pem, err := readPEM(t.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("cannot use %s: it holds no certificate in PEM", t.CA)
		}
	}
	if t.Cert != "" {
		cert, err := readPEM(t.Cert)
		if err != nil {
			return nil, err
		}
		key, err := readPEM(t.Key)
		if err != nil {
			return nil, err
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("cannot use the certificate %s with the key %s: %w", t.Cert, t.Key, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func readPEM(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read a certificate: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("cannot read a certificate: %s is not a file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read a certificate: %w", err)
	}
	defer func() { _ = file.Close() }() // only read
	pem, err := io.ReadAll(io.LimitReader(file, maxPEM+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot read a certificate: %w", err)
	case len(pem) > maxPEM:
		return nil, fmt.Errorf("cannot read a certificate: %s is larger than %d bytes", path, maxPEM)
	}
	return pem, nil
}
