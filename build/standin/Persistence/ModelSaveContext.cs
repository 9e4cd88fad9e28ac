using System.Text;
using Microsoft.ML.Standin;

namespace Microsoft.ML;

/// <summary>
/// Where one component writes itself: a folder of the model archive. A component says how it is loaded
/// (<see cref="Begin"/>), writes its payload (<see cref="Writer"/>) and saves its parts in folders below its own. A
/// component of a third party can only hand its context on to a stock component, which then takes its place.
/// </summary>
public sealed class ModelSaveContext : IDisposable
{
    private readonly ModelArchiveWriter _archive;
    private readonly string _folder;
    private readonly MemoryStream _payload = new();
    private string _loaderName;
    private int _version;

    internal ModelSaveContext(ModelArchiveWriter archive, string folder)
    {
        _archive = archive;
        _folder = folder;
        Writer = new BinaryWriter(_payload, Encoding.UTF8, leaveOpen: true);
    }

    /// <summary>The component's own data; read back by <see cref="ModelLoadContext.Reader"/>.</summary>
    internal BinaryWriter Writer { get; }

    /// <summary>Saves a component, with all below it, as the folder <paramref name="folder"/> of an archive.</summary>
    internal static void Save(ModelArchiveWriter archive, string folder, ICanSaveModel component)
    {
        using var context = new ModelSaveContext(archive, folder);
        component.Save(context);
        context.Complete(component.GetType());
    }

    /// <summary>Names the loader (see <see cref="ModelLoaderAttribute"/>) and the version of what follows.</summary>
    internal void Begin(string loaderName, int version = 1)
    {
        if (_loaderName is not null)
        {
            throw new InvalidOperationException(
                $"Two components, {_loaderName} and {loaderName}, were saved into the same place '{_folder}'.");
        }

        _loaderName = loaderName;
        _version = version;
    }

    /// <summary>Saves a part of this component under the given name.</summary>
    internal void SavePart(string name, ICanSaveModel part) => Save(_archive, ModelPaths.Combine(_folder, name), part);

    /// <summary>Adds an entry of raw bytes beside this component's payload.</summary>
    internal void SaveBytes(string name, ReadOnlySpan<byte> bytes)
    {
        using Stream stream = _archive.Create(ModelPaths.Combine(_folder, name));
        stream.Write(bytes);
    }

    public void Dispose() => Writer.Dispose();

    private void Complete(Type type)
    {
        if (_loaderName is null)
        {
            throw new InvalidOperationException($"{type} saved nothing into '{_folder}', so it could not be loaded again.");
        }

        Writer.Flush();
        using Stream stream = _archive.Create(ModelPaths.Combine(_folder, ModelPaths.Key));
        using var writer = new BinaryWriter(stream, Encoding.UTF8);
        writer.Write(ModelPaths.Magic);
        writer.Write(_loaderName);
        writer.Write(_version);
        writer.Write(checked((int)_payload.Length));
        writer.Write(_payload.GetBuffer(), 0, (int)_payload.Length);
    }
}
