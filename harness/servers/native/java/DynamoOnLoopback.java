import java.lang.reflect.Field;
import org.eclipse.jetty.server.Connector;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import software.amazon.dynamodb.services.local.main.ServerRunner;
import software.amazon.dynamodb.services.local.server.DynamoDBProxyServer;

/**
 * DynamoDB Local on the loopback interface alone; its own main class listens on every interface
 * and has no option for another.
 *
 * <p>The class file beside this one is what runs: a machine needs no compiler. It is made by
 * `javac --release 17 -g:none -cp 'lib/*' DynamoOnLoopback.java`.
 */
public final class DynamoOnLoopback {
    public static void main(String[] arguments) throws Exception {
        DynamoDBProxyServer local = ServerRunner.createServerFromCommandLineArgs(arguments);
        Field server = DynamoDBProxyServer.class.getDeclaredField("server");
        server.setAccessible(true);
        for (Connector each : ((Server) server.get(local)).getConnectors()) {
            ((ServerConnector) each).setHost("127.0.0.1");
        }
        local.start();
    }
}
