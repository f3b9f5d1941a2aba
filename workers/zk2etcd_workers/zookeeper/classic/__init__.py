"""What servers before ZooKeeper 3.6 are read and watched with: plain reads in trains, one-shot
watches, and setWatches to arm many of them at once. It knows no connection, only how to send."""
