import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.concurrent.CountDownLatch;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.index.mapper.MapperExtrasPlugin;
import org.opensearch.ingest.common.IngestCommonPlugin;
import org.opensearch.join.ParentJoinPlugin;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.painless.PainlessPlugin;
import org.opensearch.plugins.Plugin;
import org.opensearch.script.mustache.MustachePlugin;
import org.opensearch.transport.Netty4Plugin;

/** One node for tests, on loopback: java -cp 'lib/*' Launch.java DIRECTORY HTTP_PORT */
public class Launch {
    private static final Collection<Class<? extends Plugin>> PLUGINS = Arrays.asList(
        Netty4Plugin.class, MustachePlugin.class, ParentJoinPlugin.class, MapperExtrasPlugin.class,
        PainlessPlugin.class, IngestCommonPlugin.class);

    private static class LoopbackNode extends Node {
        LoopbackNode(Environment environment) {
            super(environment, PLUGINS, true);
        }
    }

    public static void main(String[] arguments) throws Exception {
        Path home = Paths.get(arguments[0]);
        Settings settings = Settings.builder()
            .put("path.home", home)
            .put("cluster.name", "strongroom-tests")
            .put("node.name", "one")
            .put("node.processors", 2)
            .put("http.host", "127.0.0.1")
            .put("http.port", arguments[1])
            .put("transport.host", "127.0.0.1")
            .put("transport.port", "0")
            .put("discovery.type", "single-node")
            // Forgotten points in time go soon after their time, so that a test need not wait a minute for it.
            .put("search.keep_alive_interval", "200ms")
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .build();
        Environment environment = InternalSettingsPreparer.prepareEnvironment(
            settings, new HashMap<>(), home.resolve("config"), () -> "one");
        Node node = new LoopbackNode(environment);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                node.close();
            } catch (Exception exception) {
                exception.printStackTrace();
            }
        }));
        node.start();
        new CountDownLatch(1).await();
    }
}
