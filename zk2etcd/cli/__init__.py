"""The subcommands of `zk2etcd`, one file each: argv in, exit code out."""
