/**
 * Where clouds answer their machines with what only the machine may know: credentials, start-up scripts, keys, certificates.
 * Whoever reaches one of these from a container, or through a connection the platform makes on a tenant's behalf, has the
 * machine's own rights. The one list for all that must refuse them.
 */
export interface MetadataRange {
  /** CIDR. */
  network: string;
  family: 4 | 6;
  of: string;
  source: string;
}

const v4 = (network: string, of: string, source: string): MetadataRange => ({ network, family: 4, of, source });
const v6 = (network: string, of: string, source: string): MetadataRange => ({ network, family: 6, of, source });

export const METADATA_RANGES: readonly MetadataRange[] = [
  v4(
    '169.254.0.0/16',
    'link-local: AWS (also containers at .170.2 and .170.23), Google Cloud, Azure, Oracle, OpenStack, DigitalOcean, Hetzner, Scaleway, Tencent, IBM',
    'RFC 3927; https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html',
  ),
  v4(
    '168.63.129.16/32',
    'Azure WireServer',
    'https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16',
  ),
  v4(
    '100.100.100.200/32',
    'Alibaba Cloud',
    'https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata',
  ),
  v4('192.0.0.192/32', 'Oracle Cloud Classic', 'https://docs.oracle.com/en/cloud/iaas/compute-iaas-cloud/'),
  v4('100.96.0.96/32', 'Volcano Engine', 'https://www.volcengine.com/docs/6396'),
  v4('100.80.80.80/32', 'UCloud', 'https://docs.ucloud.cn/uhost/guide/metadata'),
  v6(
    'fe80::/10',
    'link-local: OpenStack and Hetzner at fe80::a9fe:a9fe',
    'RFC 4291; https://docs.openstack.org/nova/latest/user/metadata.html',
  ),
  v6(
    'fd00:ec2::/32',
    'AWS: ::254 and, for pods, ::23',
    'https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html',
  ),
  v6('fd20:ce::254/128', 'Google Cloud', 'https://cloud.google.com/compute/docs/metadata/querying-metadata'),
  v6(
    'fd00:c1::a9fe:a9fe/128',
    'Oracle Cloud',
    'https://docs.oracle.com/iaas/Content/Compute/Tasks/gettingmetadata.htm',
  ),
  v6('fd00:42::42/128', 'Scaleway', 'https://www.scaleway.com/en/docs/instances/how-to/use-metadata/'),
  v6(
    'fd00:a9fe:a9fe::1/128',
    'Linode',
    'https://techdocs.akamai.com/cloud-computing/docs/overview-of-the-metadata-service',
  ),
];

/** The CIDRs of one family. */
export function metadataNetworks(family: 4 | 6): string[] {
  return METADATA_RANGES.filter((range) => range.family === family).map(({ network }) => network);
}
