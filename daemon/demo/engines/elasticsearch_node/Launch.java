import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.concurrent.CountDownLatch;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.index.mapper.MapperExtrasPlugin;
import org.elasticsearch.join.ParentJoinPlugin;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.Plugin;
import org.elasticsearch.script.mustache.MustachePlugin;
import org.elasticsearch.transport.Netty4Plugin;

/** One node for tests and the demo, on loopback: java -cp 'lib/*' Launch.java DIRECTORY HTTP_PORT */
public class Launch {
    private static final Collection<Class<? extends Plugin>> PLUGINS = Arrays.asList(
        Netty4Plugin.class, MustachePlugin.class, ParentJoinPlugin.class, MapperExtrasPlugin.class);

    private static class LoopbackNode extends Node {
        LoopbackNode(Environment environment) {
            super(environment, PLUGINS, true);
        }
    }

    public static void main(String[] arguments) throws Exception {
        Path home = Paths.get(arguments[0]);
        Settings settings = Settings.builder()
            .put("path.home", home)
            .put("cluster.name", "strongroom-demo")
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
