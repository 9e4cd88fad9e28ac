using RepVgg.Runtime.Files;

namespace RepVgg.Weights.Onnx;

/// <summary>The files in the folder of an ONNX file that hold values of its tensors (external data).</summary>
/// <param name="file">The ONNX file. The other files are opened as its companions.</param>
internal sealed class OnnxExternalData(ByteSource file)
{
    private const int MaximumFiles = 4096;

    // Several locations can lead to one file, which is opened and counted once.
    private readonly Dictionary<string, ByteSource> _locations = new(StringComparer.Ordinal);
    private readonly Dictionary<string, ByteSource> _files = new(StringComparer.Ordinal);
    private readonly string _folder = Path.GetDirectoryName(Path.GetFullPath(file.Path)) ?? "";

    /// <summary>Size in bytes of all files that were opened.</summary>
    public long Length => _files.Values.Sum(opened => opened.Length);

    /// <summary>Gets the values of a tensor.</summary>
    /// <param name="tensor">Name of the tensor, for error messages.</param>
    /// <param name="location">Name of the file, relative to the folder of the ONNX file.</param>
    /// <param name="offset">Position of the first byte.</param>
    /// <param name="length">Number of bytes.</param>
    /// <exception cref="InvalidDataException">The location leaves the folder, the file is missing or too short. The message contains only the reason.</exception>
    /// <exception cref="IOException">The file cannot be opened.</exception>
    public ByteSlice Find(string tensor, string location, long offset, long length)
    {
        if (!_locations.TryGetValue(location, out var source))
        {
            if (_locations.Count >= MaximumFiles)
                throw new InvalidDataException($"the values of its tensors are in more than {MaximumFiles} files");
            string path = Resolve(tensor, location);
            if (!_files.TryGetValue(path, out source))
                _files.Add(path, source = file.OpenCompanion(path));
            _locations.Add(location, source);
        }
        return offset >= 0 && length >= 0 && offset <= source.Length && length <= source.Length - offset
            ? new ByteSlice(source, offset, length)
            : throw new InvalidDataException($"the values of '{tensor}' are {length} bytes at position {offset} of '{location}', which has {source.Length} bytes");
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
