"""Writes HDF5 files of different structures with h5py: structures/NAME.h5.

Run with Python 3 and h5py. Each file has the attributes and datasets of a small part of a Keras file; what is in them is in
Hdf5FileTests.cs. The numbers are those of numbers().
"""
import os
import sys

import h5py
import numpy as np

folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'structures')
os.makedirs(folder, exist_ok=True)


def numbers(*shape):
    return (np.arange(np.prod(shape), dtype=np.float64) * 0.25 - 3).reshape(shape)


def write(name, fill, **options):
    with h5py.File(os.path.join(folder, name), 'w', track_order=False, **options) as file:
        fill(file)


def types(file):
    for kind in ('f2', 'f4', 'f8', '>f2', '>f4', '>f8'):
        file.create_dataset(kind.replace('>', 'big-'), data=numbers(3, 4).astype(kind))
    brain = (numbers(3, 4).astype('<f4').view('<u4') >> 16).astype('<u2')
    dataset = file.create_dataset('bfloat16', data=brain)
    dataset.attrs['dtype'] = 'bfloat16'
    file.create_dataset('integers', data=np.arange(12))
    file.create_dataset('empty', data=np.zeros((0, 3), 'f4'))
    file.create_dataset('single', data=np.float32(1.5))


def chunks(file):
    file.create_dataset('plain', data=numbers(7, 5).astype('f4'), chunks=(3, 2))
    file.create_dataset('gzip', data=numbers(7, 5, 3).astype('f4'), chunks=(4, 5, 2), compression='gzip')
    file.create_dataset('shuffle', data=numbers(40, 9).astype('f4'), chunks=(16, 9), compression='gzip', shuffle=True)
    file.create_dataset('fletcher', data=numbers(7, 5).astype('f4'), chunks=(7, 5), fletcher32=True)
    file.create_dataset('all', data=numbers(3, 3, 8, 6).astype('f4'), chunks=(3, 3, 8, 6), compression='gzip', shuffle=True, fletcher32=True)
    file.create_dataset('many', data=numbers(300, 2).astype('f4'), chunks=(1, 2))
    file.create_dataset('lzf', data=numbers(7, 5).astype('f4'), chunks=(7, 5), compression='lzf')
    file.create_dataset('missing', shape=(4, 4), dtype='f4', chunks=(2, 2))[:2] = 1


def texts(file):
    file.attrs['fixed'] = np.array([b'conv2d', b'conv2d_1'], dtype='S10')
    file.attrs.create('variable', ['conv2d', 'dense', ''], dtype=h5py.string_dtype())
    file.attrs['one'] = 'tensorflow'
    file.attrs['none'] = np.array([], dtype='f8')
    file.attrs['number'] = 3
    file.attrs['split0'] = np.array([b'a', b'b'])
    file.attrs['split1'] = np.array([b'c'])


def groups(file):
    for i in range(300):
        file.create_dataset(f'group/part_{i}/value', data=np.float32([i]))
    file['soft'] = h5py.SoftLink('/group')
    file['external'] = h5py.ExternalLink('other.h5', '/group')
    file.create_dataset('outside', shape=(4,), dtype='f4', external=[('other.raw', 0, 16)])
    layout = h5py.VirtualLayout(shape=(4,), dtype='f4')
    layout[:] = h5py.VirtualSource('other.h5', 'data', shape=(4,))
    file.create_virtual_dataset('virtual', layout)


def latest(file):
    file.create_dataset('layer/vars/0', data=numbers(3, 4).astype('f4'))
    file.attrs['one'] = 'tensorflow'
    for i in range(20):
        file.create_group(f'many/part_{i}')
    file.create_dataset('chunked', data=numbers(7, 5).astype('f4'), chunks=(3, 2))


write('types.h5', types)
write('chunks.h5', chunks)
write('texts.h5', texts)
write('groups.h5', groups)
write('latest.h5', latest, libver='latest')
print(h5py.version.info, file=sys.stderr)
