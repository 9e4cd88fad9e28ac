using RepVgg.Runtime.Files;

namespace RepVgg.Weights.Onnx;

/// <summary>An open ONNX file, and the files in its folder that hold values of its tensors (external data). All of them are mapped into memory.</summary>
internal sealed class OnnxFile : IDisposable
{
    private const int MaximumFiles = 4096;

    private readonly Dictionary<string, MappedFile> _external = new(StringComparer.Ordinal);
    private readonly string _folder;

    /// <param name="path">Path of the ONNX file.</param>
    /// <exception cref="InvalidDataException">The file is too large.</exception>
    /// <exception cref="IOException">The file cannot be opened.</exception>
    public OnnxFile(string path)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        Main = new MappedFile(path);
        _folder = Path.GetDirectoryName(Path.GetFullPath(path)) ?? "";
    }

    /// <summary>The ONNX file itself.</summary>
    public MappedFile Main { get; }

    /// <summary>Size in bytes of this file and of the external files that were opened.</summary>
    public long Length => Main.Memory.Length + _external.Values.Sum(file => (long)file.Memory.Length);

    /// <summary>Gets the values of a tensor that are in another file.</summary>
    /// <param name="tensor">Name of the tensor, for error messages.</param>
    /// <param name="location">Name of the file, relative to the folder of the ONNX file.</param>
    /// <param name="offset">Position of the first byte.</param>
    /// <param name="length">Number of bytes.</param>
    /// <returns>The file and the bytes, as a slice of the mapped memory.</returns>
    /// <exception cref="InvalidDataException">The location leaves the folder, the file is missing or too short. The message contains only the reason.</exception>
    /// <exception cref="IOException">The file cannot be opened.</exception>
    public (MappedFile File, ReadOnlyMemory<byte> Bytes) External(string tensor, string location, long offset, long length)
    {
        if (!_external.TryGetValue(location, out var file))
        {
            if (_external.Count >= MaximumFiles)
                throw new InvalidDataException($"the values of its tensors are in more than {MaximumFiles} files");
            file = new MappedFile(Resolve(tensor, location));
            _external.Add(location, file);
        }
        int size = file.Memory.Length;
        return offset >= 0 && length >= 0 && offset <= size && length <= size - offset
            ? (file, file.Memory.Slice((int)offset, (int)length))
            : throw new InvalidDataException($"the values of '{tensor}' are {length} bytes at position {offset} of '{location}', which has {size} bytes");
    }

    public void Dispose()
    {
        Main.Dispose();
        foreach (var file in _external.Values)
            file.Dispose();
    }

    /// <summary>Gets the path of an external file. A name that leaves the folder is refused, so that a model from elsewhere cannot have other files read.</summary>
    private string Resolve(string tensor, string location)
    {
        const int MaximumLinks = 32;
        var parts = new List<string>();
        bool isInside = location.AsSpan().IndexOfAny('\\', ':', '\0') < 0;
        foreach (string part in location.Split('/'))
        {
            isInside &= part.Length > 0 && part.Trim() == part && (part != ".." || parts.Count > 0);
            if (part == ".." && parts.Count > 0)
                parts.RemoveAt(parts.Count - 1);
            else if (part != ".")
                parts.Add(part);
        }
        if (!isInside || parts.Count == 0)
            throw Leaves("");
        string path = Follow(parts, 0);
        return File.Exists(path) ? path : throw Missing();

        string Follow(IEnumerable<string> names, int links)
        {
            string path = _folder;
            foreach (string name in names)
            {
                path = Path.Combine(path, name);
                if (!Path.Exists(path))
                    throw Missing();
                if (new FileInfo(path).ResolveLinkTarget(returnFinalTarget: false) is not { } target)
                    continue;
                // Reading through a link would leave the folder as a name with ".." does.
                if (links == MaximumLinks || !target.FullName.StartsWith(_folder + Path.DirectorySeparatorChar, StringComparison.Ordinal))
                    throw Leaves($", but '{name}' is a link to '{target.FullName}'");
                path = Follow(Path.GetRelativePath(_folder, target.FullName).Split(Path.DirectorySeparatorChar), links + 1);
            }
            return path;
        }

        InvalidDataException Missing() => new($"the values of '{tensor}' are in the file '{location}', which is not in the folder '{_folder}'; keep the files together");

        InvalidDataException Leaves(string link) => new($"the values of '{tensor}' are in the file '{location}', which is not allowed: it must be in the folder of the ONNX file{link}");
    }
}
