package docker

import (
	"context"
	"fmt"

	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"
)

// Networks returns the ids of the networks that carry a label with that value.
func (c *Client) Networks(ctx context.Context, label, value string) ([]string, error) {
	return call(ctx, c, readLimit, fmt.Sprintf("list the networks labelled %q", label), func(ctx context.Context, engine *client.Client) ([]string, error) {
		list, err := engine.NetworkList(ctx, network.ListOptions{Filters: filters.NewArgs(filters.Arg("label", label+"="+value))})
		if err != nil {
			return nil, err
		}
		var ids []string
		for _, n := range list {
			ids = append(ids, n.ID)
		}
		return ids, nil
	})
}
