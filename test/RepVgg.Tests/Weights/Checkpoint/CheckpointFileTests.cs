using RepVgg.Testing;
using RepVgg.Weights;
using RepVgg.Weights.Checkpoint;
using Xunit;

namespace RepVgg.Tests.Weights.Checkpoint;

public class CheckpointFileTests
{
    private static StateDict Tensors()
    {
        var random = new Random(5);
        var tensors = new StateDict();
        tensors["a.weight"] = new TensorData([2, 3, 1, 5], [.. Enumerable.Range(0, 30).Select(_ => random.NextSingle() - 0.5f)]);
        tensors["scalar"] = new TensorData([], [float.Epsilon]);
        tensors["empty"] = new TensorData([0, 4], []);
        tensors["odd é"] = new TensorData([3], [float.NaN, float.NegativeInfinity, -0f]);
        return tensors;
    }

    [Fact]
    public void Gives_back_text_and_bits()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("run.checkpoint");
        CheckpointFile.CheckWritable(path);
        Assert.Empty(Directory.GetFiles(folder.Path));
        CheckpointFile.Write(path, "old", new StateDict());
        CheckpointFile.Write(path, "{\"é\": 1}", Tensors());

        var (text, tensors) = CheckpointFile.Read(path);
        Assert.Equal("{\"é\": 1}", text);
        Assert.Equal(Tensors().Names, tensors.Names);
        foreach (var (name, expected) in Tensors())
        {
            Assert.Equal(expected.Shape, tensors[name].Shape);
            Assert.Equal(expected.Values.Select(BitConverter.SingleToInt32Bits), tensors[name].Values.Select(BitConverter.SingleToInt32Bits));
        }
        Assert.Equal([path], Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void Every_truncation_and_every_flipped_byte_is_noticed()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("run.checkpoint");
        CheckpointFile.Write(path, "{}", Tensors());
        byte[] whole = File.ReadAllBytes(path);
        for (int length = 0; length < whole.Length; length++)
        {
            File.WriteAllBytes(path, whole[..length]);
            Assert.Contains(path, Assert.Throws<InvalidDataException>(() => CheckpointFile.Read(path)).Message, StringComparison.Ordinal);
        }
        for (int i = 0; i < whole.Length; i += 3)
        {
            byte[] damaged = [.. whole];
            damaged[i] ^= 0x40;
            File.WriteAllBytes(path, damaged);
            Assert.Throws<InvalidDataException>(() => CheckpointFile.Read(path));
        }
    }

    [Fact]
    public void A_foreign_file_is_called_foreign()
    {
        using var folder = new TemporaryFolder();
        string path = folder.Write("photo.png", [137, 80, 78, 71, 13, 10, 26, 10, .. new byte[100]]);
        Assert.Contains("is not a training checkpoint", Assert.Throws<InvalidDataException>(() => CheckpointFile.Read(path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_place_that_cannot_be_written_is_named_and_leaves_nothing()
    {
        using var folder = new TemporaryFolder();
        string missing = Path.Combine(folder.Path, "no", "such", "run.checkpoint");
        string message = $"The training checkpoint '{missing}' cannot be written: the folder '{Path.GetDirectoryName(missing)}' does not exist.";
        Assert.Equal(message, Assert.Throws<DirectoryNotFoundException>(() => CheckpointFile.CheckWritable(missing)).Message);
        Assert.Equal(message, Assert.Throws<DirectoryNotFoundException>(() => CheckpointFile.Write(missing, "", new StateDict())).Message);
        string occupied = folder.File("folder");
        Directory.CreateDirectory(occupied);
        Assert.Throws<IOException>(() => CheckpointFile.CheckWritable(occupied));
        Assert.Throws<IOException>(() => CheckpointFile.Write(occupied, "", new StateDict()));
        Assert.Empty(Directory.GetFiles(folder.Path));
    }
}
