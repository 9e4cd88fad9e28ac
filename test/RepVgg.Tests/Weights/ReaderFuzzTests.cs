using System.Buffers.Binary;
using RepVgg.Architectures;
using RepVgg.Runtime.Files;
using RepVgg.Testing;
using RepVgg.Tests.Weights.PyTorch;
using RepVgg.Weights;
using RepVgg.Weights.Onnx;
using RepVgg.Weights.PyTorch;
using RepVgg.Weights.Safetensors;
using Xunit;

namespace RepVgg.Tests.Weights;

/// <summary>Ten thousand damaged files for each reader: a result or one clear error, in bounded memory.</summary>
public class ReaderFuzzTests
{
    private const int Iterations = 10_000;
    private const long MemoryBound = 128L << 20;

    private static readonly byte[] _interesting = [0, 1, 2, 0x7f, 0x80, 0xfe, 0xff, (byte)'.', (byte)'R', (byte)'(', (byte)'{'];

    public static TheoryData<string> Checkpoints =>
    [
        "pytorch/dtypes-zip", "pytorch/dtypes-legacy", "pytorch/strided-zip", "pytorch/strided-legacy", "pytorch/wrapped-model", "pytorch/protocol4", "pytorch/evil-system",
        "checkpoints/beside-protocol1-legacy", "checkpoints/beside-protocol4-zip", "checkpoints/entries-nested",
    ];

    [Theory]
    [MemberData(nameof(Checkpoints))]
    public void Damaged_checkpoints(string name)
    {
        // Together more than ten thousand for each of the two formats.
        byte[] file = File.ReadAllBytes(GoldenFiles.PathOf($"{name}.pth"));
        int accepted = Fuzz(file, Iterations / 2, stream => PthReader.Read(stream));
        Assert.False(File.Exists("/tmp/repvgg-was-here"));
        Assert.True(accepted < Iterations / 2);
    }

    [Fact]
    public void Damaged_pickles_in_sound_zips()
    {
        byte[] zip = CraftedPickle.OneTensor([2, 2], [2, 1]).InZip(("0", 16));
        var directory = new ZipDirectory(ByteSource.Of(new MemoryStream(zip)));
        var (position, size) = directory.Locate("archive/data.pkl");
        byte[] pickle = zip[(int)position..(int)(position + size)];
        Fuzz(pickle, Iterations, stream =>
        {
            using var whole = new MemoryStream();
            var writer = new ZipWriter(whole);
            writer.Add("archive/data.pkl", stream.ToArray());
            writer.Add("archive/data/0", new byte[16]);
            writer.Finish();
            whole.Position = 0;
            PthReader.Read(whole);
        });
    }

    [Fact]
    public void Damaged_safetensors()
    {
        using var stream = new MemoryStream();
        var architecture = RandomNetworks.Architecture(1, 1, SqueezeExcitation.None, (2, 1, 1), (2, 1, 2));
        var description = new ModelDescription(architecture, 2, 4, 4, Normalization.Identity(1), ["a", "b"]);
        SafetensorsWriter.Write(new StateDict { ["a"] = TensorData.Zeros(2, 3), ["b"] = TensorData.Zeros(4), ["c"] = TensorData.Zeros() }, stream, description);
        Fuzz(stream.ToArray(), Iterations, damaged => SafetensorsReader.Read(damaged));
        Fuzz(stream.ToArray(), Iterations / 2, damaged => SafetensorsReader.ReadDescription(damaged));
    }

    [Fact]
    public void Damaged_ONNX_files()
    {
        var network = RandomNetworks.Create(RandomNetworks.Architecture(1, 1, SqueezeExcitation.AfterRelu, (4, 1, 1), (4, 1, 2)), 4, 4, 2);
        using var stream = new MemoryStream();
        OnnxWriter.Write(network, stream);
        Fuzz(stream.ToArray(), Iterations, damaged => OnnxReader.Read(damaged));
    }

    private static int Fuzz(byte[] file, int iterations, Action<MemoryStream> read)
    {
        var random = new Random(file.Length);
        int accepted = 0;
        for (int i = 0; i < iterations; i++)
        {
            byte[] damaged = Damage(file, random);
            long before = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                read(new MemoryStream(damaged));
                accepted++;
            }
            catch (InvalidDataException error)
            {
                Assert.False(string.IsNullOrWhiteSpace(error.Message));
            }
            catch (Exception error)
            {
                Assert.Fail($"Iteration {i} of {file.Length} bytes: {error}");
            }
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, MemoryBound);
        }
        return accepted;
    }

    private static byte[] Damage(byte[] file, Random random)
    {
        var bytes = new List<byte>(file);
        for (int changes = 1 + random.Next(4); changes > 0 && bytes.Count > 8; changes--)
        {
            int at = random.Next(bytes.Count);
            switch (random.Next(8))
            {
                case 0:
                    bytes[at] ^= (byte)(1 << random.Next(8));
                    break;
                case 1:
                    bytes[at] = (byte)random.Next(256);
                    break;
                case 2:
                    bytes[at] = _interesting[random.Next(_interesting.Length)];
                    break;
                case 3:
                    bytes.RemoveRange(at, Math.Min(bytes.Count - at, 1 + random.Next(8)));
                    break;
                case 4:
                    bytes.InsertRange(at, bytes.GetRange(random.Next(bytes.Count - 8), 1 + random.Next(8)));
                    break;
                case 5:
                    byte[] number = new byte[4];
                    BinaryPrimitives.WriteUInt32LittleEndian(number, (uint)random.NextInt64(uint.MaxValue) >> random.Next(32));
                    for (int i = 0; i < 4 && at + i < bytes.Count; i++)
                        bytes[at + i] = number[i];
                    break;
                case 6 when random.Next(4) == 0:
                    bytes.RemoveRange(at, bytes.Count - at);
                    break;
                default:
                    int other = random.Next(bytes.Count);
                    (bytes[at], bytes[other]) = (bytes[other], bytes[at]);
                    break;
            }
        }
        return [.. bytes];
    }
}
