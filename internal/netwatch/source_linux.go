package netwatch

import "log/slog"

// openSource returns what tells most on this system.
func openSource(log *slog.Logger) source {
	n, err := openNetlink()
	if err != nil {
		log.Info("netlink is refused: changes of the network are noticed within seconds instead of at once", "error", err)
		return openPoll(log)
	}
	return n
}
