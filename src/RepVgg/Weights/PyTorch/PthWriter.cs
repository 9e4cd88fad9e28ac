using System.Globalization;
using System.Runtime.InteropServices;
using RepVgg.Runtime.Files;

namespace RepVgg.Weights.PyTorch;

/// <summary>Writes weights as a PyTorch checkpoint that <c>torch.load</c> can read, including with <c>weights_only=True</c>.</summary>
/// <remarks>The file has the zip format of PyTorch 1.6 and later and contains an OrderedDict of float tensors on the CPU. The description of the network, if it is given, is an entry of the zip file that PyTorch does not read. Equal weights give identical files.</remarks>
public static class PthWriter
{
    private const string Folder = "archive";

    /// <summary>Writes a file. The file is created or replaced only when it is complete.</summary>
    /// <param name="state">The weights.</param>
    /// <param name="path">The file.</param>
    /// <param name="description">The description of the network, which this library reads; null for none.</param>
    /// <exception cref="IOException">The file cannot be written.</exception>
    /// <exception cref="InvalidOperationException">The weights take more than 4 GiB.</exception>
    public static void Write(StateDict state, string path, ModelDescription? description = null)
    {
        ArgumentNullException.ThrowIfNull(state);
        AtomicFile.Write(path, stream => Write(state, stream, description));
    }

    /// <summary>Writes to a stream.</summary>
    /// <param name="state">The weights.</param>
    /// <param name="stream">Receives the file's content.</param>
    /// <param name="description">The description of the network, which this library reads; null for none.</param>
    /// <exception cref="InvalidOperationException">The weights take more than 4 GiB.</exception>
    public static void Write(StateDict state, Stream stream, ModelDescription? description = null)
    {
        ArgumentNullException.ThrowIfNull(state);
        ArgumentNullException.ThrowIfNull(stream);
        if (!BitConverter.IsLittleEndian)
            throw new PlatformNotSupportedException("Checkpoints are written on little-endian machines only.");
        var zip = new ZipWriter(stream);
        zip.Add($"{Folder}/data.pkl", PickleWriter.Write(state));
        zip.Add($"{Folder}/byteorder", "little"u8);
        foreach (var (i, (_, tensor)) in state.Index())
            zip.Add($"{Folder}/data/{i.ToString(CultureInfo.InvariantCulture)}", MemoryMarshal.AsBytes(tensor.Values.AsSpan()));
        if (description is not null)
            PthDescription.Write(zip, Folder, description);
        zip.Add($"{Folder}/version", "3\n"u8);
        zip.Finish();
    }
}
