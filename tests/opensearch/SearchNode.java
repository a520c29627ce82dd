import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.opensearch.common.settings.Settings;
import org.opensearch.index.reindex.ReindexPlugin;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.transport.Netty4Plugin;

/** One OpenSearch node from its jars: its home in args[0], HTTP on port args[1] of loopback. */
public class SearchNode {
    /** The distribution finds its modules (transport, deletion by query) in a folder; from jars they must be named. */
    private static final class FromJars extends Node {
        FromJars(Settings settings) {
            super(
                InternalSettingsPreparer.prepareEnvironment(
                    settings, Map.of(), Path.of(settings.get("path.home"), "config"), () -> "node"),
                List.of(Netty4Plugin.class, ReindexPlugin.class),
                false);
        }
    }

    public static void main(String[] args) throws Exception {
        Settings settings = Settings.builder()
            .put("path.home", args[0])
            .put("cluster.name", "flowloom-tests")
            .put("node.name", "node")
            .put("network.host", "127.0.0.1")
            .put("http.port", args[1])
            .put("transport.port", "0")
            .put("discovery.type", "single-node")
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .build();
        Node node = new FromJars(settings);
        node.start();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                node.close();
            } catch (java.io.IOException ended) {
                throw new java.io.UncheckedIOException(ended);
            }
        }));
        Thread.currentThread().join();
    }
}
