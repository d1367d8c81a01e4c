package dockertest

import (
	"context"
	"errors"

	"github.com/squallhq/squall/injectors/docker"
)

// removeContainers removes every container of an engine of our own: at its end it
// would wait for each of them.
func removeContainers(ctx context.Context, host string) (err error) {
	client := docker.At(host)
	defer func() { err = errors.Join(err, client.Close()) }()
	list, err := client.List(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range list {
		if err := client.Remove(ctx, c.ID); err != nil && !errors.Is(err, docker.ErrNotFound) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
