using System.Buffers.Binary;
using System.Text;
using Microsoft.ML.RepVgg.Reports;
using RepVgg.Testing;
using RepVgg.Training;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Reports;

/// <summary>Reads the event files with a parser that shares no code with the writer.</summary>
public sealed class TensorBoardTests
{
    [Fact]
    public void The_checksum_of_these_tests_is_that_of_RFC_3720()
    {
        Assert.Equal(0x8A9136AAu, Crc32C(new byte[32]));
        Assert.Equal(0xE3069283u, Crc32C("123456789"u8));
    }

    [Fact]
    public void Training_and_validation_have_the_same_tags_in_folders_of_their_own()
    {
        using var root = new TemporaryFolder();
        var run = RunFolder.Create("flowers", root.Path);
        double before = Now();
        run.Add(RunFolderTests.Epoch(1));
        run.Add(RunFolderTests.Epoch(2));
        double after = Now();

        var training = Read(run, "train");
        var validation = Read(run, "validation");
        Assert.Equal(("brain.Event:2", 0L), (training[0].Version, training[0].Step));
        Assert.Equal([1L, 2L], training[1..].Select(e => e.Step));
        Assert.All(training[1..], e => Assert.Equal([("loss", MathF.Log(2)), ("accuracy", 0.75f), ("learning_rate", 0.1f)], e.Scalars));
        Assert.All(validation[1..], e => Assert.Equal([("loss", 1f / 3), ("accuracy", 0.8125f), ("accuracy_top5", 0.96875f)], e.Scalars));
        Assert.All([.. training, .. validation], e => Assert.InRange(e.Time, before, after));

        static double Now() => (DateTime.UtcNow - DateTime.UnixEpoch).TotalSeconds;
    }

    [Fact]
    public void Without_validation_there_is_no_run_for_it()
    {
        using var root = new TemporaryFolder();
        var run = RunFolder.Create("flowers", root.Path);
        run.Add(new EpochResult(1, 0.1f, 1, 0.5, null, null));
        Assert.Equal(2, Read(run, "train").Count);
        Assert.False(Directory.Exists(Path.Combine(run.DirectoryPath, "validation")));
    }

    private static List<Event> Read(RunFolder run, string name)
    {
        string path = Assert.Single(Directory.GetFiles(Path.Combine(run.DirectoryPath, name)));
        Assert.Matches(@"^events\.out\.tfevents\.\d{10}\..+\.\d+\.\d+$", Path.GetFileName(path));
        var events = new List<Event>();
        ReadOnlySpan<byte> rest = File.ReadAllBytes(path);
        while (!rest.IsEmpty)
        {
            int length = checked((int)BinaryPrimitives.ReadUInt64LittleEndian(rest));
            Assert.Equal(Masked(rest[..8]), BinaryPrimitives.ReadUInt32LittleEndian(rest[8..]));
            var data = rest.Slice(12, length);
            Assert.Equal(Masked(data), BinaryPrimitives.ReadUInt32LittleEndian(rest[(12 + length)..]));
            events.Add(Event.Parse(data));
            rest = rest[(16 + length)..];
        }
        return events;
    }

    private static uint Masked(ReadOnlySpan<byte> data)
    {
        uint crc = Crc32C(data);
        return unchecked(((crc >> 15) | (crc << 17)) + 0xA282EAD8);
    }

    /// <summary>CRC-32C bit by bit: the polynomial 0x1EDC6F41, reflected.</summary>
    private static uint Crc32C(ReadOnlySpan<byte> data)
    {
        uint crc = 0xFFFFFFFF;
        foreach (byte value in data)
        {
            crc ^= value;
            for (int bit = 0; bit < 8; bit++)
                crc = (crc & 1) != 0 ? (crc >> 1) ^ 0x82F63B78 : crc >> 1;
        }
        return crc ^ 0xFFFFFFFF;
    }

    private sealed record Event(double Time, long Step, string? Version, List<(string Tag, float Value)> Scalars)
    {
        public static Event Parse(ReadOnlySpan<byte> data)
        {
            var fields = Fields(data);
            var scalars = new List<(string, float)>();
            foreach (byte[] summary in fields.Where(field => field.Number == 5).Select(field => field.Content))
            {
                foreach (var (_, content) in Fields(summary))
                {
                    var value = Fields(content).ToDictionary(field => field.Number, field => field.Content);
                    scalars.Add((Encoding.UTF8.GetString(value[1]), BitConverter.ToSingle(value[2])));
                }
            }
            byte[]? version = fields.Find(field => field.Number == 3).Content;
            return new Event(
                BitConverter.ToDouble(fields.Single(field => field.Number == 1).Content),
                BitConverter.ToInt64(fields.Single(field => field.Number == 2).Content),
                version is null ? null : Encoding.UTF8.GetString(version),
                scalars);
        }

        /// <summary>Splits a message into its fields; a varint becomes eight bytes.</summary>
        private static List<(int Number, byte[] Content)> Fields(ReadOnlySpan<byte> data)
        {
            var fields = new List<(int, byte[])>();
            int at = 0;
            while (at < data.Length)
            {
                ulong tag = Varint(data, ref at);
                byte[] content;
                switch (tag & 7)
                {
                    case 0:
                        content = BitConverter.GetBytes(Varint(data, ref at));
                        break;
                    case 1:
                        content = data.Slice(at, 8).ToArray();
                        at += 8;
                        break;
                    case 2:
                        int length = (int)Varint(data, ref at);
                        content = data.Slice(at, length).ToArray();
                        at += length;
                        break;
                    case 5:
                        content = data.Slice(at, 4).ToArray();
                        at += 4;
                        break;
                    default:
                        throw new InvalidDataException($"Wire type {tag & 7}.");
                }
                fields.Add(((int)(tag >> 3), content));
            }
            return fields;
        }

        private static ulong Varint(ReadOnlySpan<byte> data, ref int at)
        {
            ulong value = 0;
            for (int shift = 0; ; shift += 7)
            {
                byte next = data[at++];
                value |= (ulong)(next & 0x7F) << shift;
                if (next < 0x80)
                    return value;
            }
        }
    }
}
