// Answers before it has read the body where it is asked to, keeps its connections, and tells everybody else what they asked for.
const { createServer } = require('node:http');

const server = createServer((request, response) => {
  const [, status] = /^\/early\/(\w+)/.exec(request.url) ?? [];
  if (status === 'chunked') return response.writeHead(400).end('early');
  if (status !== undefined) return response.writeHead(Number(status), { 'content-length': 0 }).end();
  request.resume();
  const { 'x-forwarded-for': client, 'x-forwarded-client-cert': certificate = '' } = request.headers;
  response.end(`${request.method} ${request.url} ${client}${certificate}`);
});
server.keepAliveTimeout = 60_000;
server.listen(Number(process.env.PORT));
