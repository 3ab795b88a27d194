const ms = require('ms');
const polka = require('polka');

const started = Date.now();
const { application_name: name = 'hello-node' } = JSON.parse(process.env.VCAP_APPLICATION || '{}');

const { server } = polka()
  .get('/', (_request, response) => {
    response.setHeader('content-type', 'application/json');
    response.end(
      JSON.stringify({
        hello: name,
        instance: Number(process.env.CF_INSTANCE_INDEX || 0),
        node: process.version,
        up: ms(Date.now() - started),
      }),
    );
  })
  .get('/health', (_request, response) => response.end('ok\n'))
  .listen(process.env.PORT || 8080, () => console.log(`${name} listens on port ${process.env.PORT || 8080}`));

process.on('SIGTERM', () => {
  console.log('finishing what is under way');
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
