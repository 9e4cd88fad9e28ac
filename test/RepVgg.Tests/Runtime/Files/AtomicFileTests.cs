using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.Versioning;
using RepVgg.Runtime.Files;
using RepVgg.Testing;
using Xunit;

namespace RepVgg.Tests.Runtime.Files;

public sealed class AtomicFileTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private static void Write(string path, string text = "new") => AtomicFile.Write(path, stream => stream.Write(System.Text.Encoding.UTF8.GetBytes(text)));

    private string[] TemporaryFiles() => Directory.GetFiles(_folder.Path, ".*.tmp");

    private string[] Names() => [.. Directory.GetFileSystemEntries(_folder.Path).Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal)];

    [Fact]
    public void A_write_that_fails_changes_nothing_and_leaves_nothing()
    {
        string path = _folder.Write("model.onnx", "old"u8.ToArray());
        var error = Assert.Throws<IOException>(() => AtomicFile.Write(path, stream =>
        {
            stream.Write("half of it"u8);
            throw new IOException("No space left on device.");
        }));
        Assert.Equal($"'{path}' cannot be written: No space left on device.", error.Message);
        Assert.Throws<FormatException>(() => AtomicFile.Write(path, _ => throw new FormatException()));
        Assert.Equal("old", File.ReadAllText(path));
        Assert.Equal(["model.onnx"], Names());
        Write(path);
        Assert.Equal("new", File.ReadAllText(path));
        Assert.Equal(["model.onnx"], Names());
    }

    [Fact]
    public void The_target_of_a_link_is_written_and_the_link_is_kept()
    {
        string target = _folder.Write("target", "old"u8.ToArray()), link = _folder.File("link"), second = _folder.File("second");
        File.CreateSymbolicLink(link, "target");
        File.CreateSymbolicLink(second, link);
        Write(second);
        Assert.Equal("new", File.ReadAllText(target));
        Assert.Equal("target", new FileInfo(link).LinkTarget);
        Assert.Equal(["link", "second", "target"], Names());

        // A link to a file that does not exist yet.
        File.Delete(target);
        Write(link, "again");
        Assert.Equal("again", File.ReadAllText(target));
        Assert.Equal("target", new FileInfo(link).LinkTarget);
    }

    [Fact]
    public void Links_that_refer_to_each_other_are_refused()
    {
        File.CreateSymbolicLink(_folder.File("a"), "b");
        File.CreateSymbolicLink(_folder.File("b"), "a");
        Assert.Throws<IOException>(() => Write(_folder.File("a")));
        Assert.Equal(["a", "b"], Names());
    }

    [UnixFact]
    [UnsupportedOSPlatform("windows")]
    public void Permissions_are_kept()
    {
        const UnixFileMode Mode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead;
        string path = _folder.Write("weights.pth", "old"u8.ToArray());
        File.SetUnixFileMode(path, Mode);
        Write(path);
        Assert.Equal(Mode, File.GetUnixFileMode(path));
        Assert.Equal("new", File.ReadAllText(path));
    }

    [UnixFact]
    [UnsupportedOSPlatform("windows")]
    public void Nobody_can_read_the_content_earlier_who_cannot_read_the_target()
    {
        const UnixFileMode Private = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        string path = _folder.Write("weights.pth", "old"u8.ToArray());
        foreach (var mode in new[] { Private, UnixFileMode.UserRead, Private | UnixFileMode.GroupRead })
        {
            File.SetUnixFileMode(path, mode);
            AtomicFile.Write(path, stream =>
            {
                stream.Write("new"u8);
                Assert.Equal(UnixFileMode.None, File.GetUnixFileMode(Assert.Single(TemporaryFiles())) & ~(mode | Private));
            });
            Assert.Equal(mode, File.GetUnixFileMode(path));
        }
    }

    [Fact]
    public void Several_threads_can_write_the_same_file()
    {
        const int Threads = 4, Writes = 250, Length = 200_000;
        string path = _folder.File("run.checkpoint");
        var errors = new ConcurrentQueue<Exception>();
        bool done = false;
        var writers = Enumerable.Range(1, Threads).Select(number => new Thread(() =>
        {
            byte[] content = [.. Enumerable.Repeat((byte)number, Length)];
            for (int i = 0; i < Writes; i++)
                Try(() => AtomicFile.Write(path, stream => stream.Write(content)));
        })).ToArray();
        var others = new[] { new Thread(Read), new Thread(Probe) };
        foreach (var thread in writers.Concat(others))
            thread.Start();
        foreach (var thread in writers)
            thread.Join();
        Volatile.Write(ref done, true);
        foreach (var thread in others)
            thread.Join();
        Assert.Empty(errors);
        Check();
        Assert.Equal(["run.checkpoint"], Names());

        void Read()
        {
            while (!Volatile.Read(ref done))
            {
                if (File.Exists(path))
                    Try(Check);
            }
        }

        void Probe()
        {
            while (!Volatile.Read(ref done))
                Try(() => AtomicFile.CheckWritable(path, "The file"));
        }

        void Check()
        {
            using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            byte[] content = new byte[Length + 1];
            Assert.Equal(Length, file.ReadAtLeast(content, content.Length, throwOnEndOfStream: false));
            Assert.Equal(-1, content.AsSpan(0, Length).IndexOfAnyExcept(content[0]));
        }

        void Try(Action action)
        {
            try
            {
                action();
            }
            catch (Exception error)
            {
                errors.Enqueue(error);
            }
        }
    }

    [Fact]
    public void An_error_of_the_callback_is_not_reported_as_a_file_that_is_too_large()
    {
        string path = _folder.File("model.onnx");
        Assert.Throws<ArgumentOutOfRangeException>(() => AtomicFile.Write(path, stream =>
        {
            stream.WriteByte(1);
            stream.Position = -1;
        }));
        Assert.Throws<ArgumentOutOfRangeException>(() => AtomicFile.Write(path, stream => stream.SetLength(-1)));
        Assert.Throws<ArgumentOutOfRangeException>(() => AtomicFile.Write(path, _ => new List<int> { 1 }.Capacity = 0));
        Assert.Empty(Names());
    }

    [UnixFact]
    public void Devices_and_pipes_are_refused()
    {
        if (!OperatingSystem.IsLinux())
            return;
        string pipe = _folder.File("pipe"), link = _folder.File("link");
        using (var process = Process.Start("mkfifo", pipe))
            process.WaitForExit();
        File.CreateSymbolicLink(link, "/dev/full");
        foreach (string path in new[] { pipe, link, "/dev/full" })
        {
            Assert.EndsWith("it is not a regular file but a pipe, a socket or a device.", Assert.Throws<IOException>(() => Write(path)).Message);
            Assert.Throws<IOException>(() => AtomicFile.CheckWritable(path, "The file"));
        }
        Assert.Equal(["link", "pipe"], Names());
        Assert.True(FileType.IsStreamOrDevice(pipe));
    }

    [Fact]
    public void Names_can_be_as_long_as_the_file_system_allows()
    {
        string path = _folder.File(new string('n', 255));
        Write(path, "first");
        AtomicFile.CheckWritable(path, "The file");
        Write(path);
        Assert.Equal("new", File.ReadAllText(path));
        Assert.Single(Names());
    }

    [Fact]
    public void Temporary_files_of_dead_writers_are_removed_and_those_of_living_ones_are_not()
    {
        string path = _folder.File("run.checkpoint"), other = _folder.File("other.checkpoint"), dead = "", living = "";
        foreach (string target in new[] { path, other })
        {
            AtomicFile.Write(target, _ =>
            {
                // A copy of the temporary file, as a process leaves it that ends here.
                string copy = Path.ChangeExtension(TemporaryFiles().Single(file => file != dead), "0.tmp");
                if (target == path)
                    dead = copy;
                File.WriteAllText(copy, "dead");
            });
        }
        Assert.Equal(4, Names().Length);
        string[] before = TemporaryFiles();
        AtomicFile.Write(path, _ =>
        {
            living = Assert.Single(TemporaryFiles(), file => !before.Contains(file));
            Write(path, "second");
            Assert.True(File.Exists(living));
        });
        Assert.False(File.Exists(dead));
        // The file of the other target is left to its next write.
        Assert.Equal(3, Names().Length);
        Write(other);
        Assert.Equal(["other.checkpoint", "run.checkpoint"], Names());
    }
}
