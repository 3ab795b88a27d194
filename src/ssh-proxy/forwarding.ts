import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { ServerChannel, TcpipRequestInfo } from 'ssh2';
import { type ForwardData, ForwardDataSchema } from '../contracts/gen/ssh_pb.js';
import { drainInto, Outbox, writeThrough } from './flow.ts';
import type { Reach } from './reach.ts';

type Data = MessageInitShape<typeof ForwardDataSchema>['data'];

/** A connection forwarded by the client (`-L`): it begins in the instance, under the egress rules of the app. */
export async function serveForwarding(
  accept: () => ServerChannel,
  reject: () => void,
  { destIP: host, destPort: port }: TcpipRequestInfo,
  reach: Reach,
): Promise<void> {
  const outbox = new Outbox<ForwardData>();
  const tell = (data: Data): Promise<void> => outbox.put(create(ForwardDataSchema, { data }));
  const closed = new AbortController();
  const gone = AbortSignal.any([closed.signal, reach.gone]);
  void tell({ case: 'start', value: { instanceGuid: reach.instanceGuid, host, port } });
  let channel: ServerChannel | null = null;
  try {
    for await (const { data } of reach.ssh.forward(outbox, { signal: gone })) {
      if (data.case === 'connected' && !channel) {
        channel = accept();
        channel.once('close', () => closed.abort());
        channel.on('error', () => closed.abort());
        reach.watch(channel);
        drainInto(
          channel,
          (chunk) => tell({ case: 'bytes', value: chunk }),
          () => void tell({ case: 'end', value: {} }),
        );
      } else if (data.case === 'bytes' && channel) {
        await writeThrough(channel, data.value, reach.socket, gone);
      } else if (data.case === 'end' && channel) {
        channel.eof();
      }
    }
  } catch {
    // refused, or either side went away: the client sees the channel close
  } finally {
    outbox.close();
    if (channel) {
      channel.end();
      channel.close();
    } else if (!reach.gone.aborted) reject();
  }
}
